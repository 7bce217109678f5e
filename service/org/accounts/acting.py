"""An account for which an operator acts at the command line: with what it is granted now, and no more."""

from datetime import datetime

from sqlalchemy import and_, select

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.models import Grant
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Held, Organiser
from service.scope import scoped


def acting_as(login: str, now: datetime) -> Organiser:
    """The organiser with this login; ServiceError not_found."""
    question = select(Account, Organisation).join(Organisation, Organisation.id == Account.organisation_id)
    found = db.session.execute(scoped(question, Account.login == login)).one_or_none()
    if found is None:
        raise ServiceError("not_found")
    account, home = found
    held = select(Grant.role, Grant.purpose, Organisation.path).join(
        Organisation, Grant.organisation_id == Organisation.id
    )
    rows = db.session.execute(scoped(held, and_(Grant.organiser_id == account.id, Grant.holds(now))))
    grants = tuple(Held(*row) for row in rows)
    return Organiser(account.id, account.name, home.id, home.name, home.path, grants=grants)
