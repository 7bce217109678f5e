"""A branch looks at flags about its members, and a person says of each what it was. Nothing follows by itself."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select

from service import audit
from service.checkin.flags.models import Flag, Flagged
from service.checkin.models import CheckIn
from service.errors import ServiceError
from service.extensions import db
from service.scope import scoped

MOST = 500
MOST_CHECK_INS = 5000


class Case(NamedTuple):
    """A flag, how many members it is about, and those check-ins that the organiser may see."""

    flag: Flag
    people: int
    check_ins: Sequence[CheckIn]


def of_activity(activity: int, visible: ColumnElement[bool]) -> list[Case]:
    """Those about a member among the `visible`: the unresolved first, then the latest."""
    question = scoped(select(Flag), Flag.activity_id == activity, Flag.id.in_(about(visible)))
    flags = db.session.scalars(question.order_by(Flag.resolved_at.is_not(None), Flag.id.desc()).limit(MOST)).all()
    return cases(flags, visible)


def resolve(activity: int, flag: int, *, visible: ColumnElement[bool], by: int, note: str, now: datetime) -> Case:
    """Say what a flag was. Commits, with a note in the audit log; the first resolution stays.

    ServiceError not_found for one that is about none of the `visible`.
    """
    question = scoped(select(Flag), Flag.id == flag, Flag.activity_id == activity, Flag.id.in_(about(visible)))
    found = db.session.scalar(question.with_for_update().execution_options(populate_existing=True))
    if found is None:
        db.session.rollback()
        raise ServiceError("not_found")
    if found.resolved_at is None:
        found.resolved_at, found.resolved_by, found.note = now, by, note
        told: dict[str, Any] = {"flag": found.id, "kind": found.kind, "activity": activity}
        audit.note("flag.resolved", actor=audit.Party("organiser", by), now=now, details=told)
    db.session.commit()
    return cases([found], visible)[0]


def about(visible: ColumnElement[bool]) -> Any:
    """The numbers of flags that are about a member among the `visible`."""
    question = select(Flagged.flag_id).join(CheckIn, CheckIn.id == Flagged.check_in_id)
    return scoped(question, visible)


def cases(flags: Sequence[Flag], visible: ColumnElement[bool]) -> list[Case]:
    """Flags with what they are about."""
    mine = Flagged.flag_id.in_([flag.id for flag in flags])
    joined = CheckIn.id == Flagged.check_in_id
    counted = select(Flagged.flag_id, func.count(CheckIn.member_id.distinct())).join(CheckIn, joined)
    people: dict[int, int] = dict(db.session.execute(scoped(counted.group_by(Flagged.flag_id), mine)).all())
    shown: dict[int, list[CheckIn]] = defaultdict(list)
    seen = scoped(select(Flagged.flag_id, CheckIn).join(CheckIn, joined), mine, visible)
    for number, check_in in db.session.execute(seen.order_by(CheckIn.id).limit(MOST_CHECK_INS)):
        shown[number].append(check_in)
    return [Case(flag, people.get(flag.id, 0), shown[flag.id]) for flag in flags]
