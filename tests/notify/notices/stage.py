"""What tests of notices need: an audience that is given, a channel that is scripted, and rows as they are now."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Text, column, select, values
from sqlalchemy.orm import Session

from service.clock import now as read_clock
from service.extensions import db
from service.notify.channels.clients import Clients
from service.notify.channels.sends import Outcome, Send, done
from service.notify.notices.audience import Asked, Means
from service.notify.notices.models import Device, Notice, NoticeDelivery, Preference
from service.notify.notices.telling import tell

HOUR = timedelta(hours=1)
PEOPLE = values(
    column("member_id", BigInteger),
    column("organisation_path", Text),
    column("openid", Text),
    column("consents", Boolean),
    name="people",
)


def person(member: int, *, path: str = "1.12", openid: str | None = None, consents: bool = True) -> tuple[Any, ...]:
    """Somebody in an audience."""
    return (member, path, openid, consents)


def asked(*people: tuple[Any, ...]) -> Asked:
    """A SELECT of `people`, as a room makes it."""
    return select(PEOPLE.data(list(people)))


def audience(notice: Notice) -> Asked:
    """Those whom the notice itself lists, by member number."""
    return asked(*(person(member) for member in notice.audience["members"]))


def make_notice(*, now: datetime | None = None, lives: timedelta = HOUR, **fields: Any) -> Notice:
    """A planned notice that is due."""
    now = now or read_clock()
    whole = {
        "key": "a", "kind": "started", "organisation_path": "1.12", "texts": {}, "due_at": now,
        "facts": {"theme": "学习", "starts_at": "2026-07-01T02:00:00Z"}, "expires_at": now + lives,
        "audience": {"name": "given", "members": []},
    } | fields  # fmt: skip
    notice = Notice(**whole)
    db.session.add(notice)
    db.session.commit()
    return notice


def make_device(member: int, channel: str = "apns", *, address: str = "", now: datetime | None = None) -> str:
    """Where a member's app is reached."""
    address = address or f"{channel}-{member}"
    db.session.add(Device(channel=channel, address=address, member_id=member, registered_at=now or read_clock()))
    db.session.commit()
    return address


def make_told(count: int, *, now: datetime | None = None, channel: str = "apns", **fields: Any) -> Notice:
    """A notice told to `count` members, each of whom `channel` reaches."""
    now = now or read_clock()
    first = fields.pop("first", 1)
    db.session.add_all(
        Device(channel=channel, address=f"{channel}-{member}", member_id=member, registered_at=now)
        for member in range(first, first + count)
    )
    notice = make_notice(now=now, **fields)
    people = [person(member) for member in range(first, first + count)]
    tell(notice, asked(*people), Means(channels=[channel]), now)
    db.session.commit()
    return notice


def sent(session: Session | None = None) -> list[NoticeDelivery]:
    """Every delivery that is no inbox's, as it is now."""
    db.session.rollback()
    db.session.expire_all()
    found = select(NoticeDelivery).where(NoticeDelivery.lane != "inbox").order_by(NoticeDelivery.id)
    return list(db.session.scalars(found))


def fates() -> Counter[str]:
    """How many deliveries have which fate, the inbox aside."""
    return Counter(one.state for one in sent())


def make_quiet(member: int, zone: str, start: str, end: str) -> None:
    """Hours of quiet."""
    from datetime import time

    times = {"quiet_from": time.fromisoformat(start), "quiet_until": time.fromisoformat(end)}
    db.session.add(Preference(member_id=member, timezone=zone, **times))
    db.session.commit()


@dataclass
class Scripted:
    """A channel that does as it is told, and notices if two sends to one address overlap."""

    name: str = "apns"
    batch: int = 10
    answer: Callable[[Send], Outcome] = lambda _: done(receipt="r")
    seconds: float = 0.0
    sends: list[Send] = field(default_factory=list)
    overlaps: int = 0
    _busy: set[str] = field(default_factory=set)

    async def send(self, client: Clients, sends: Sequence[Send]) -> list[Outcome]:
        """Answer each."""
        for one in sends:
            self.overlaps += one.address in self._busy
            self._busy.add(one.address)
        self.sends += sends
        await asyncio.sleep(self.seconds)
        self._busy -= {one.address for one in sends}
        return [self.answer(one) for one in sends]
