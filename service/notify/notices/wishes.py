"""What a member says: how to be told, where the app is reached, what was read. Repeats are harmless."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from service.errors import ServiceError
from service.extensions import db
from service.notify.notices.models import INBOX, Device, NoticeDelivery, Preference
from service.scope import reason, scoped

# So many devices of one member are kept: a phone that was lost or sold gives way.
MOST_DEVICES = 10


def preference_of(member: int) -> Preference:
    """What a member wants; of one who said nothing, what holds then."""
    found = db.session.scalar(scoped(select(Preference), Preference.member_id == member))
    return found or Preference(member_id=member, timezone="Asia/Shanghai")


def prefer(member: int, wanted: Mapping[str, Any]) -> None:
    """Take over all of what a member wants."""
    row = insert(Preference).values(member_id=member, **wanted)
    upsert = row.on_conflict_do_update(index_elements=["member_id"], set_=dict(wanted))
    db.session.execute(upsert, execution_options=reason("one's own"))
    db.session.commit()


def register(member: int, channel: str, address: str, now: datetime) -> None:
    """The member's app is reached there, and nobody else's any more. Commits."""
    reach(member, channel, address, now)
    db.session.commit()


def reach(member: int, channel: str, address: str, now: datetime) -> None:
    """The same in the caller's transaction."""
    row = insert(Device).values(channel=channel, address=address, member_id=member, registered_at=now)
    taken = {"member_id": member, "registered_at": now}
    upsert = row.on_conflict_do_update(index_elements=["channel", "address"], set_=taken)
    db.session.execute(upsert, execution_options=reason("one's own"))
    mine = scoped(select(Device.address), Device.member_id == member, Device.channel == channel)
    kept = mine.order_by(Device.registered_at.desc(), Device.address).limit(MOST_DEVICES)
    old = scoped(delete(Device), Device.member_id == member, Device.channel == channel, Device.address.not_in(kept))
    db.session.execute(old.execution_options(synchronize_session=False))


def unregister(member: int, channel: str) -> None:
    """The member's apps are not reached by a channel any more, as after a log-out."""
    leave(member, channel)
    db.session.commit()


def leave(member: int, channel: str) -> None:
    """The same in the caller's transaction."""
    db.session.execute(scoped(delete(Device), Device.member_id == member, Device.channel == channel))


def inbox(member: int, *, before: int | None, limit: int) -> list[NoticeDelivery]:
    """What a member was told, the newest first; `before` continues a page."""
    question = scoped(select(NoticeDelivery), NoticeDelivery.member_id == member, NoticeDelivery.lane == INBOX)
    if before is not None:
        question = question.where(NoticeDelivery.id < before)
    return list(db.session.scalars(question.order_by(NoticeDelivery.id.desc()).limit(limit)))


def read(member: int, number: int, now: datetime) -> None:
    """The member read it; the first time counts. ServiceError not_found for what is not in the inbox."""
    mine = (NoticeDelivery.member_id == member, NoticeDelivery.lane == INBOX, NoticeDelivery.id == number)
    changed = scoped(update(NoticeDelivery), *mine).values(read_at=func.coalesce(NoticeDelivery.read_at, now))
    if db.session.execute(changed.returning(NoticeDelivery.id)).first() is None:
        db.session.rollback()
        raise ServiceError("not_found")
    db.session.commit()
