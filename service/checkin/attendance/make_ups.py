"""Make-up (补学): a record of its own beside the absence, by replay or by a check-in elsewhere, before a deadline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from service.activity.models import Activity, Sitting
from service.activity.reminders import lead_path
from service.checkin.attendance import completion, evidence, roster
from service.checkin.attendance.models import MakeUp, Roster, RosterEntry
from service.checkin.models import CheckIn, Terms, stands
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.notify.notices.models import Notice
from service.notify.notices.planning import Plan, plan
from service.scope import everything, scoped

DEFAULT_DAYS = 30
MOST = 500
REMIND_BEFORE = timedelta(days=3)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a member did instead: `check_in` is the record elsewhere, none for a replay."""

    reference: str
    kind: str
    reason: str
    happened_at: datetime
    check_in: int | None = None


def make_up(activity: int, member: int, effort: Effort, *, by: int, now: datetime) -> tuple[MakeUp, bool]:
    """Record that a member made up for an activity, and whether it was recorded before. Commits.

    ServiceError reference_reused, makeup_annulled, roster_open, not_on_roster, makeup_in_future, makeup_closed,
    makeup_unfounded, made_up.
    """
    known = _known(member, effort.reference)
    if known is None:
        check(activity, member, effort, now)
        values = {"activity_id": activity, "member_id": member, "entered_by": by, "received_at": now}
        told = {name: value for name, value in vars(effort).items() if name != "check_in"}
        row = values | told | {"check_in_id": effort.check_in}
        made = db.session.scalar(insert(MakeUp).values(row).on_conflict_do_nothing().returning(MakeUp))
        db.session.commit()
        if made is not None:
            return made, False
        # Somebody else was quicker: with this very one, or with another for the same absence.
        known = _known(member, effort.reference)
    if known is None:
        raise ServiceError("made_up")
    if not same(known, activity, effort):
        raise ServiceError("reference_reused")
    if known.annulled_at is not None:
        raise ServiceError("makeup_annulled")
    return known, True


def annul(activity: int, make_up: int, *, visible: ColumnElement[bool], by: int, reason: str, now: datetime) -> MakeUp:
    """Take a make-up back, for a reason. Commits; the record stays, the first who did it and why too.

    Another may follow, under another reference. ServiceError not_found.
    """
    question = scoped(select(MakeUp), MakeUp.id == make_up, MakeUp.activity_id == activity, visible).with_for_update()
    found = db.session.scalar(question.execution_options(populate_existing=True))
    if found is None:
        db.session.rollback()
        raise ServiceError("not_found")
    if found.annulled_at is None:
        found.annulled_at, found.annulled_by, found.annul_reason = now, by, reason
    db.session.commit()
    return found


def of_activity(activity: int, visible: ColumnElement[bool]) -> Sequence[MakeUp]:
    """Those of an activity among the `visible`, taken back or not, the latest first."""
    question = scoped(select(MakeUp), MakeUp.activity_id == activity, visible).order_by(MakeUp.id.desc())
    return db.session.scalars(question.limit(MOST)).all()


def check(activity: int, member: int, effort: Effort, now: datetime) -> None:
    """ServiceError with the reason why there is nothing to make up for, or not by this."""
    if roster.of(activity) is None:
        raise ServiceError("roster_open")
    entry = select(RosterEntry.member_id)
    if not db.session.scalar(scoped(entry, RosterEntry.activity_id == activity, RosterEntry.member_id == member)):
        raise ServiceError("not_on_roster")
    if effort.happened_at > now:
        raise ServiceError("makeup_in_future")
    if now >= deadline(activity):
        raise ServiceError("makeup_closed")
    mine = select(CheckIn.id).where(stands())
    if effort.kind == "elsewhere" and not db.session.scalar(
        scoped(mine, CheckIn.id == effort.check_in, CheckIn.member_id == member, CheckIn.activity_id != activity)
    ):
        raise ServiceError("makeup_unfounded")
    asked = evidence.asked(activity)
    if completion.credit(asked, evidence.of_member(activity, member, asked)):
        raise ServiceError("made_up")


def deadline(activity: int) -> datetime:
    """Until when one may make up for an activity."""
    terms = db.session.get(Terms, activity)
    ended: datetime = db.session.scalars(
        scoped(select(func.max(Sitting.ends_at)), Sitting.activity_id == activity)
    ).one()
    return ended + timedelta(days=terms.makeup_days if terms else DEFAULT_DAYS)


def remind(now: datetime) -> int:
    """Plan that those who may still make up are told of it some days before the deadline; how many. Commits.

    The deadline follows the last sitting and the terms, and a notice that waits is moved with it.
    """
    days = func.coalesce(Terms.makeup_days, DEFAULT_DAYS)
    ended = func.max(Sitting.ends_at)
    ends = (ended + func.make_interval(0, 0, 0, days)).label("ends")
    due = func.greatest(ends - REMIND_BEFORE, ended).label("due")
    key = func.concat("activity:", Activity.id, ":make_up")
    question = (
        select(Activity, due, ends)
        .join(Roster, Roster.activity_id == Activity.id)
        .join(Sitting, Sitting.activity_id == Activity.id)
        .outerjoin(Terms, Terms.activity_id == Activity.id)
        .where(Activity.rehearsal.is_(False), days > 0)
        .group_by(Activity.id, Terms.makeup_days)
        .having(ends > now, ~exists().where(Notice.key == key, Notice.due_at == due))
    )
    found = db.session.execute(everything("whoever may make up", question)).all()
    for activity, begins, deadline in found:
        plan(_reminder(activity, begins, deadline))
    db.session.commit()
    return len(found)


def _reminder(activity: Activity, due: datetime, deadline: datetime) -> Plan:
    return Plan(
        key=f"activity:{activity.id}:make_up",
        kind="make_up",
        due_at=due,
        expires_at=deadline,
        organisation_path=lead_path(activity),
        audience={"name": "to_make_up"},
        activity_id=activity.id,
        facts={"theme": activity.theme, "starts_at": iso(deadline), "timezone": activity.timezone},
    )


def same(known: MakeUp, activity: int, effort: Effort) -> bool:
    """Whether it is what was recorded."""
    told = (known.activity_id, known.kind, known.reason, known.happened_at, known.check_in_id)
    return told == (activity, effort.kind, effort.reason, effort.happened_at, effort.check_in)


def _known(member: int, reference: str) -> MakeUp | None:
    mine = scoped(select(MakeUp), MakeUp.member_id == member, MakeUp.reference == reference)
    return db.session.scalar(mine)
