"""Attempts that were refused: kept beside those that were not, for the sender to see and an organiser to settle."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, text

from service.checkin.models import Refusal
from service.checkin.records import Attempt
from service.errors import ServiceError
from service.extensions import db
from service.scope import scoped

MOST = 500
# The first of each code stays: a phone that goes on asking adds nothing. In the order of members, like check-ins.
KEEP = text(
    """
    INSERT INTO check_in_refusals (activity_id, received_at, member_id, reference, sitting_id, method, code,
        happened_at, entered_by)
    SELECT :activity, :now, new.* FROM unnest(CAST(:members AS bigint[]), CAST(:references AS text[]),
        CAST(:sittings AS bigint[]), CAST(:methods AS text[]), CAST(:codes AS text[]),
        CAST(:happened AS timestamptz[]), CAST(:entered AS bigint[])) AS new
    ON CONFLICT DO NOTHING
    """
)


def keep(activity: int, refused: Sequence[tuple[Attempt, str]], now: datetime) -> None:
    """Note attempts with the codes of their refusals, in the caller's transaction."""
    if not refused:
        return
    attempts = [attempt for attempt, _ in refused]
    columns = {
        "activity": activity,
        "now": now,
        "members": [attempt.member for attempt in attempts],
        "references": [attempt.reference for attempt in attempts],
        "sittings": [attempt.sitting for attempt in attempts],
        "methods": [attempt.method for attempt in attempts],
        "codes": [code for _, code in refused],
        "happened": [attempt.happened_at for attempt in attempts],
        "entered": [attempt.entered_by for attempt in attempts],
    }
    db.session.execute(KEEP, columns)


def waiting(activity: int, visible: ColumnElement[bool]) -> Sequence[Refusal]:
    """Those of an activity that nobody has settled, among the `visible`, the latest first."""
    question = scoped(select(Refusal), Refusal.activity_id == activity, Refusal.settled_at.is_(None), visible)
    return db.session.scalars(question.order_by(Refusal.id.desc()).limit(MOST)).all()


def settle(
    activity: int, refusal: int, visible: ColumnElement[bool], *, by: int, settlement: str, now: datetime
) -> Refusal:
    """Say what became of a refusal. Commits; the first settlement stays. ServiceError not_found."""
    question = scoped(select(Refusal), Refusal.id == refusal, Refusal.activity_id == activity, visible)
    found = db.session.scalar(question.with_for_update().execution_options(populate_existing=True))
    if found is None:
        db.session.rollback()
        raise ServiceError("not_found")
    if found.settled_at is None:
        found.settled_at, found.settled_by, found.settlement = now, by, settlement
    db.session.commit()
    return found
