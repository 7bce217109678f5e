"""Roster ticks before a screen: many at once, each by the rule of every check-in, and with the answer of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.checkin import desk
from service.checkin.group import sessions
from service.checkin.rules import Answer
from service.org.organisers import Organiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """That a member is before the screen; the phone makes up `reference` and sends it again with every retry."""

    member: int
    reference: str
    happened_at: datetime | None = None


def tick(organiser: Organiser, activity: int, session: int, ticks: Sequence[Tick], now: datetime) -> list[Answer]:
    """The answer to each tick, in their order; committed. ServiceError not_found for a session out of reach."""
    found = sessions.of(organiser, activity, session)
    entries = [
        desk.Entry(
            member=one.member,
            reference=one.reference,
            method="group",
            sitting=found.sitting_id,
            happened_at=one.happened_at,
            group_session=found.id,
        )
        for one in ticks
    ]
    return desk.enter(organiser, activity, entries, now)
