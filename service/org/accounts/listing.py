"""The accounts that an administrator may see."""

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import joinedload

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser
from service.scope import scoped

MOST = 1000


def accounts(asker: Organiser) -> Sequence[Account]:
    """Those of the asker's part of the tree, by login."""
    reached = or_(asker.reaches("accounts", Organisation.path), asker.reaches("grants", Organisation.path))
    question = scoped(select(Account).join(Organisation, Organisation.id == Account.organisation_id), reached)
    loaded = question.options(joinedload(Account.organisation))
    return db.session.scalars(loaded.order_by(Account.login).limit(MOST)).all()


def by_login(login: str) -> Account:
    """The account of that login, whoever asks; ServiceError not_found."""
    account = db.session.scalars(scoped(select(Account), Account.login == login)).one_or_none()
    if account is None:
        raise ServiceError("not_found")
    return account
