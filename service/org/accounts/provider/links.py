"""Which account is whose at the identity provider: by issuer and subject, never by a name or an e-mail address.

Who may link decides who may come in. So no administrator can link somebody's account alone, as none can let somebody
back in alone: its owner does, with the password, or the operator at the command line. Unlinking takes only away.
"""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.ending import end_sessions
from service.org.accounts.models import ProviderLink
from service.org.accounts.notes import note
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser
from service.scope import scoped


def account_of(issuer: str, subject: str) -> Account | None:
    """The account that is linked to this subject."""
    question = select(Account).join(ProviderLink, ProviderLink.organiser_id == Account.id)
    return db.session.scalars(scoped(question, ProviderLink.issuer == issuer, ProviderLink.subject == subject)).first()


def link(account: int, issuer: str, subject: str, *, by: int | None, now: datetime) -> None:
    """Link the account to this subject and to no other; committed.

    Quiet if it is so already. ServiceError conflict if the subject is another account's.
    """
    found = account_of(issuer, subject)
    if found is not None and found.id == account:
        return
    row = {"issuer": issuer, "subject": subject, "linked_at": now}
    entered = insert(ProviderLink).values(organiser_id=account, **row)
    try:
        with db.session.begin_nested():
            db.session.execute(entered.on_conflict_do_update(index_elements=["organiser_id"], set_=row))
    except IntegrityError:
        raise ServiceError("conflict") from None
    note("account.changed", by=by, account=account, now=now, change="provider_linked")
    db.session.commit()


def unlink(account: int, *, by: int | None, session: int = 0, now: datetime) -> None:
    """End what leads from the provider to the account, with its sessions except `session`; committed.

    Quiet if there is no link.
    """
    if not remove(account):
        return
    end_sessions(account, now, but=session)
    note("account.changed", by=by, account=account, now=now, change="provider_unlinked")
    db.session.commit()


def unlink_for(administrator: Organiser, account: int, now: datetime) -> None:
    """The same by an administrator; ServiceError not_found for an account outside of his reach."""
    question = select(Account.id).join(Organisation, Organisation.id == Account.organisation_id)
    reached = administrator.reaches("accounts", Organisation.path)
    if db.session.scalar(scoped(question, Account.id == account, reached)) is None:
        raise ServiceError("not_found")
    unlink(account, by=administrator.id, now=now)


def remove(account: int) -> bool:
    """Forget the link, in the caller's transaction; whether there was one."""
    gone = scoped(delete(ProviderLink), ProviderLink.organiser_id == account).returning(ProviderLink.organiser_id)
    return db.session.scalar(gone) is not None
