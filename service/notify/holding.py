"""What the notify room holds of a person: what was and is to be told of him, or to him, and how he wants to be told."""

from datetime import datetime

from sqlalchemy import delete, update

from service.extensions import db
from service.holdings import Holding
from service.notify.models import Outbox
from service.notify.notices.models import Credit, Device, NoticeDelivery, Preference
from service.scope import scoped


def forget(member: int, _now: datetime) -> None:
    """Events stay, and are told, as happening to nobody; what was told to him goes, and he is told nothing more."""
    db.session.execute(update(Outbox).where(Outbox.subject_member == member).values(subject_member=None))
    for model in (NoticeDelivery, Preference, Device, Credit):
        db.session.execute(scoped(delete(model), model.member_id == member))


HOLDING = Holding(
    room="notify",
    columns=[
        Outbox.subject_member, NoticeDelivery.member_id, Preference.member_id, Device.member_id, Credit.member_id
    ],
    forget=forget,
)  # fmt: skip
