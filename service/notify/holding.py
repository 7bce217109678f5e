"""What the notify room holds of a person: what waits to be told of him, or has been told within the week."""

from datetime import datetime

from sqlalchemy import update

from service.extensions import db
from service.holdings import Holding
from service.notify.models import Outbox


def forget(member: int, _now: datetime) -> None:
    """Events stay, and are told, as happening to nobody."""
    db.session.execute(update(Outbox).where(Outbox.subject_member == member).values(subject_member=None))


HOLDING = Holding(room="notify", columns=[Outbox.subject_member], forget=forget)
