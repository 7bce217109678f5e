"""A member's own attendance of an activity, beside his check-ins: expected or not, leave, make-up, and his credit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from service.checkin.attendance import completion, evidence, make_ups, roster
from service.checkin.attendance.models import Leave, MakeUp, RosterEntry
from service.checkin.models import Terms
from service.extensions import db
from service.scope import scoped


@dataclass(frozen=True, kw_only=True)
class Own:
    """`expected` is None until the roster is frozen; `make_up_until` says that there is something to make up for.

    `credit` is the source of his one credit, what is missing of one, and what the activity asks for; `fence` the venue
    with which his phone may compare where it is.
    """

    expected: bool | None
    leave: Leave | None
    make_up: MakeUp | None
    make_up_until: datetime | None
    credit: dict[str, Any]
    fence: dict[str, float] | None


def of(activity: int, member: int, now: datetime) -> Own:
    """How the member stands in the activity."""
    frozen = roster.of(activity) is not None
    mine = scoped(select(RosterEntry.standing), RosterEntry.activity_id == activity, RosterEntry.member_id == member)
    expected = db.session.scalar(mine) == "expected" if frozen else None
    asked = scoped(select(Leave), Leave.activity_id == activity, Leave.member_id == member, Leave.state != "withdrawn")
    made = scoped(select(MakeUp), MakeUp.activity_id == activity, MakeUp.member_id == member)
    make_up = db.session.scalar(made.where(MakeUp.annulled_at.is_(None)))
    wanted = evidence.asked(activity)
    shown = evidence.of_member(activity, member, wanted)
    source = completion.credit(wanted, shown)
    terms = db.session.get(Terms, activity)
    until = make_ups.deadline(activity) if expected and source is None else None
    return Own(
        expected=expected,
        leave=db.session.scalar(asked.order_by(Leave.id.desc()).limit(1)),
        make_up=make_up,
        make_up_until=until if until is not None and now < until else None,
        credit={"source": source, "missing": completion.missing(wanted, shown), "asked": wanted},
        fence=terms.fence if terms else None,
    )
