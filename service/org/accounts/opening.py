"""Making accounts: at the command line with a password and a role, by a system administrator with neither."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts import grants, recovery
from service.org.accounts.notes import note
from service.org.accounts.passwords import NONE, acceptable, hash_of
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser


def add_organiser(
    login: str, *, name: str, password: str | None, organisation_id: int, role: str = "organiser", now: datetime
) -> int:
    """A new account with `role` for its organisation's subtree, committed; its number.

    Without a password nobody can log in before a recovery. ServiceError validation or conflict.
    """
    number = insert_account(login, name=name, password=password, organisation_id=organisation_id)
    note("account.created", by=None, account=number, now=now, organisation=organisation_id)
    grants.enter_role(number, role=role, organisation_id=organisation_id, now=now)
    return number


def open_account(opener: Organiser, login: str, *, name: str, organisation_id: int, now: datetime) -> tuple[int, str]:
    """A new account without grants and the code with which its owner chooses a password; committed.

    ServiceError not_found for an organisation outside of the opener's reach, validation, conflict.
    """
    organisation = db.session.get(Organisation, organisation_id)
    if organisation is None or not opener.may("accounts", organisation.path):
        raise ServiceError("not_found")
    number = insert_account(login, name=name, password=None, organisation_id=organisation_id)
    code = recovery.issue(number, now=now, seconds=recovery.OPENING_SECONDS)
    note("account.created", by=opener.id, account=number, now=now, organisation=organisation_id)
    db.session.commit()
    return number, code


def insert_account(login: str, *, name: str, password: str | None, organisation_id: int) -> int:
    """The same without any grant, in the caller's transaction."""
    wrong = []
    if not login or len(login) > 64 or not login.isprintable():
        wrong.append("login")
    if password is not None and not acceptable(password, login):
        wrong.append("password")
    if db.session.get(Organisation, organisation_id) is None:
        wrong.append("organisation_id")
    if wrong:
        raise ServiceError("validation", errors={field: ["Not acceptable."] for field in wrong})
    password_hash = NONE if password is None else hash_of(password)
    account = insert(Account).values(
        login=login, name=name, password_hash=password_hash, organisation_id=organisation_id
    )
    number = db.session.scalar(account.on_conflict_do_nothing().returning(Account.id))
    if number is None:
        raise ServiceError("conflict")
    return int(number)
