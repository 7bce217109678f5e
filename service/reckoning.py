"""The reckoning after a rehearsal: ledger, organisers' feed and the members' own count, side by side."""

import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, func, select

from service.checkin.models import CheckIn, stands
from service.extensions import db
from service.founding import Enactment, is_synthetic
from service.live.models import Stay
from service.live.rehearsal import Result
from service.live.watch_time import EVERYBODY, connection_seconds, watch_seconds
from service.org.models import Member
from service.scope import scoped
from service.watching import Watcher

Counted = dict[str, Any]

SETTLE_SECONDS = 20.0
# What the clocks of both sides may differ by, a stay: the way to the server and the wait for its batch.
STAY_TOLERANCE_SECONDS = 0.25


def settle(day: Enactment, result: Result, watcher: Watcher) -> dict[str, Any]:
    """All figures, once the last stay is written and the feed is at rest; `agreed` if they say the same."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        figures = compare(written(day), result, watcher.figures)
        if figures["agreed"] or time.monotonic() > deadline:
            return figures
        time.sleep(0.25)


def written(day: Enactment) -> dict[str, Any]:
    """What PostgreSQL holds of the day; under `guests` the part of the people who joined beside the synthetic ones."""
    db.session.rollback()
    guests = select(Member.id).where(~is_synthetic())
    return {
        **counted(day),
        "guests": counted(day, Stay.member_id.in_(guests), CheckIn.member_id.in_(guests)),
    }


def counted(day: Enactment, whose: ColumnElement[bool] = EVERYBODY, who: ColumnElement[bool] = EVERYBODY) -> Counted:
    """Stays of the day where `whose` holds, and check-ins where `who` does."""
    stays = select(func.count(), func.count(Stay.left_at), func.count(func.distinct(Stay.member_id)))
    total, closed, joined = db.session.execute(scoped(stays, Stay.stream_id == day.stream, whose)).one()
    checked = scoped(select(func.count()).select_from(CheckIn), CheckIn.activity_id == day.activity, stands(), who)
    return {
        "joined": joined,
        "stays": total,
        "open_stays": total - closed,
        "watch_seconds": round(float(watch_seconds(day.stream, whose)), 3),
        "connection_seconds": round(float(connection_seconds(day.stream, whose)), 3),
        "checked_in": db.session.scalar(checked) or 0,
    }


def compare(ledger: dict[str, Any], result: Result, feed: dict[str, Any]) -> dict[str, Any]:
    """The day's figures from the ledger, the feed and the members themselves, and whether they agree."""
    members = {name: value for name, value in asdict(result).items() if name != "online"}
    guests = ledger["guests"]
    own = {name: ledger[name] - value for name, value in guests.items()}
    # Each of a member's connections measures its own time.
    drift = abs(own["connection_seconds"] - result.watch_seconds)
    agreed = {
        "joined": own["joined"] == result.joined and ledger["joined"] == feed.get("joined"),
        "checked_in": own["checked_in"] == result.checked_in and ledger["checked_in"] == feed.get("checked_in"),
        "stays": own["stays"] == result.stays and own["open_stays"] == 0,
        # A guest may still be there, and may have been there at the peak.
        "online_at_end": all(within(feed.get(name), 0, guests["open_stays"]) for name in ("online", "connections")),
        "connection_seconds": drift <= STAY_TOLERANCE_SECONDS * max(1, result.stays),
        # What the members were at once is known as of their reports: those who come or go between two of them, as when
        # a day is broken off, may have made it higher. Once all are inside, both bounds are the same.
        "peak": within(feed.get("peak"), result.peak, result.joined + guests["joined"]),
        # Where nobody got in, everything agrees at nought.
        "failed": result.failed == 0,
    }
    return {
        **ledger,
        "peak": feed.get("peak"),
        "online_at_end": feed.get("online"),
        "drift_seconds_per_stay": round(drift / max(1, result.stays), 4),
        "feed": feed,
        "members": members,
        "agreement": agreed,
        "agreed": all(agreed.values()),
    }


def within(value: int | None, least: int, most: int) -> bool:
    """Whether a figure is known and lies between the two."""
    return value is not None and least <= value <= most
