"""Leave (请假): a member asks, or his secretary for him; his branch decides. What was decided stays."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert

from service.checkin.attendance.models import Leave
from service.errors import ServiceError
from service.extensions import db
from service.scope import scoped

OPEN = ("asked", "approved")
MOST = 500


def ask(activity: int, member: int, *, reason: str, by: int | None, now: datetime) -> Leave:
    """Ask for leave from an activity. Commits. Asking again says the reason anew until it is decided.

    ServiceError leave_decided once it is approved with another reason.
    """
    values = {"activity_id": activity, "member_id": member, "reason": reason, "asked_at": now, "asked_by": by}
    db.session.execute(insert(Leave).values(values).on_conflict_do_nothing())
    found = _open(activity, member)
    if found.state == "approved" and found.reason != reason:
        db.session.rollback()
        raise ServiceError("leave_decided")
    found.reason = reason
    db.session.commit()
    return found


def withdraw(activity: int, member: int) -> None:
    """Take a request, or a leave, back. Commits; quiet if there is none."""
    try:
        found = _open(activity, member)
    except ServiceError:
        return
    found.state, found.decided_at, found.decided_by = "withdrawn", None, None
    db.session.commit()


def decide(activity: int, leave: int, *, approved: bool, visible: ColumnElement[bool], by: int, now: datetime) -> Leave:
    """Approve or decline. Commits. The same decision again changes nothing; ServiceError not_found, leave_decided."""
    question = scoped(select(Leave), Leave.id == leave, Leave.activity_id == activity, visible)
    found = db.session.scalar(question.with_for_update().execution_options(populate_existing=True))
    state = "approved" if approved else "declined"
    if found is None or found.state not in ("asked", state):
        db.session.rollback()
        raise ServiceError("not_found" if found is None else "leave_decided")
    if found.state == "asked":
        found.state, found.decided_at, found.decided_by = state, now, by
    db.session.commit()
    return found


def of_activity(activity: int, visible: ColumnElement[bool]) -> Sequence[Leave]:
    """The requests of an activity among the `visible`, the latest first."""
    question = scoped(select(Leave), Leave.activity_id == activity, visible).order_by(Leave.id.desc())
    return db.session.scalars(question.limit(MOST)).all()


def _open(activity: int, member: int) -> Leave:
    mine = (Leave.activity_id == activity, Leave.member_id == member, Leave.state.in_(OPEN))
    question = scoped(select(Leave), *mine).with_for_update().execution_options(populate_existing=True)
    found = db.session.scalar(question)
    if found is None:
        db.session.rollback()
        raise ServiceError("not_found")
    return found
