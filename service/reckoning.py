"""The reckoning after a rehearsal: ledger, organisers' feed and the members' own count, side by side."""

import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select

from service.checkin.models import CheckIn
from service.extensions import db
from service.founding import Enactment
from service.live.models import Stay
from service.live.rehearsal import Result
from service.watching import Watcher

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
    """What PostgreSQL holds of the day."""
    db.session.rollback()
    watched = func.coalesce(func.sum(func.extract("epoch", Stay.left_at - Stay.joined_at)), 0)
    stays = select(func.count(), func.count(Stay.left_at), func.count(func.distinct(Stay.member_id)), watched)
    total, closed, joined, seconds = db.session.execute(stays.where(Stay.stream_id == day.stream)).one()
    checked = select(func.count()).select_from(CheckIn).where(CheckIn.activity_id == day.activity)
    return {
        "joined": joined,
        "stays": total,
        "open_stays": total - closed,
        "watch_seconds": round(float(seconds), 3),
        "checked_in": db.session.scalar(checked),
    }


def compare(ledger: dict[str, Any], result: Result, feed: dict[str, Any]) -> dict[str, Any]:
    """The day's figures from the ledger, the feed and the members themselves, and whether they agree."""
    members = {name: value for name, value in asdict(result).items() if name != "online"}
    drift = abs(ledger["watch_seconds"] - result.watch_seconds)
    agreed = {
        "joined": ledger["joined"] == result.joined == feed.get("joined"),
        "checked_in": ledger["checked_in"] == result.checked_in == feed.get("checked_in"),
        "stays": ledger["stays"] == result.stays and ledger["open_stays"] == 0,
        "online_at_end": feed.get("online") == 0 == feed.get("connections"),
        "watch_seconds": drift <= STAY_TOLERANCE_SECONDS * max(1, result.stays),
        "peak": feed.get("peak") == result.peak,
    }
    return {
        **ledger,
        "peak": feed.get("peak"),
        "online_at_end": feed.get("online"),
        "watch_seconds_drift_per_stay": round(drift / max(1, result.stays), 4),
        "feed": feed,
        "members": members,
        "agreement": agreed,
        "agreed": all(agreed.values()),
    }
