"""The accounts that an administrator may see."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased, joinedload

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser
from service.scope import scoped

MOST = 1000
FEW = 20


def accounts(asker: Organiser) -> Sequence[Account]:
    """Those of the asker's part of the tree, by login."""
    reached = _reached(asker, Organisation.path)
    question = scoped(select(Account).join(Organisation, Organisation.id == Account.organisation_id), reached)
    loaded = question.options(joinedload(Account.organisation))
    return db.session.scalars(loaded.order_by(Account.login).limit(MOST)).all()


class Found(NamedTuple):
    """An organisation, and the name of what it lies below, if the asker may know of that."""

    id: int
    name: str
    level: str
    below: str | None


def organisations(asker: Organiser, name: str) -> Sequence[Found]:
    """Those of the asker's part of the tree whose name holds `name`, the highest first; a few."""
    above = aliased(Organisation)
    question = (
        select(Organisation.id, Organisation.name, Organisation.level, above.name)
        .join(above, and_(above.id == Organisation.parent_id, _reached(asker, above.path)), isouter=True)
        .where(Organisation.name.contains(name, autoescape=True), _reached(asker, Organisation.path))
        .order_by(func.length(Organisation.path), Organisation.id)
    )
    return [Found(*row) for row in db.session.execute(question.limit(FEW))]


def _reached(asker: Organiser, path: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return or_(asker.reaches("accounts", path), asker.reaches("grants", path))


def by_login(login: str) -> Account:
    """The account of that login, whoever asks; ServiceError not_found."""
    account = db.session.scalars(scoped(select(Account), Account.login == login)).one_or_none()
    if account is None:
        raise ServiceError("not_found")
    return account
