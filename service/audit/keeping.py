"""Keeping the log for its time: segments that an anchor closes go as a whole, their anchors stay."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from service.audit.models import Anchor, Entry
from service.audit.notes import SYSTEM, note
from service.extensions import db

# A trigger of the database holds this as well, whatever the setting says.
LEAST_DAYS = 184


def prune(now: datetime, days: int) -> int:
    """Remove the oldest segment if all of it is older than `days`; how many entries went. Commits.

    That it went is noted in the chain itself, in the same transaction: a segment that is missing without is a finding.
    """
    first = db.session.scalar(select(func.min(Entry.position)))
    if first is None:
        return 0
    closing = select(Anchor.number, Anchor.position).where(Anchor.position >= first).order_by(Anchor.number).limit(1)
    closed = db.session.execute(closing).first()
    if closed is None or not _is_old(closed.position, now - timedelta(days=max(days, LEAST_DAYS))):
        return 0
    gone = db.session.execute(delete(Entry).where(Entry.position <= closed.position))
    if gone.rowcount == 0:  # type: ignore[attr-defined]
        # Another worker was quicker, and has noted it.
        db.session.rollback()
        return 0
    note("audit.pruned", actor=SYSTEM, now=now, details={"anchor": closed.number, "position": closed.position})
    db.session.commit()
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _is_old(position: int, limit: datetime) -> bool:
    # Clocks differ, and notes are sealed a little out of order: each entry is looked at, not the anchor alone.
    newest = select(func.max(func.greatest(Entry.at, Entry.sealed_at))).where(Entry.position <= position)
    return bool((db.session.scalar(newest) or limit) < limit)
