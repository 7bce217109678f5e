"""Who is not expected though on the roster (exempt), and who may come though not on it (guests)."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from service.checkin.attendance.models import Exemption, Guest
from service.errors import ServiceError
from service.extensions import db
from service.scope import scoped


def exempt(member: int, *, reason: str, starts_on: date, ends_on: date | None, by: int, now: datetime) -> Exemption:
    """Expect a member at nothing from a day on, until before another. Commits.

    Said again for the same first day, the last day and the reason are said anew. Frozen rosters stay as they are.
    ServiceError validation for days in the wrong order.
    """
    if ends_on is not None and ends_on <= starts_on:
        raise ServiceError("validation", errors={"ends_on": ["Not after the first day."]})
    told = {"reason": reason, "ends_on": ends_on, "entered_by": by, "entered_at": now}
    values = {"member_id": member, "starts_on": starts_on, **told}
    added = insert(Exemption).values(values)
    db.session.execute(added.on_conflict_do_update(index_elements=["member_id", "starts_on"], set_=told))
    db.session.commit()
    mine = scoped(select(Exemption), Exemption.member_id == member, Exemption.starts_on == starts_on)
    return db.session.scalars(mine.execution_options(populate_existing=True)).one()


def exemptions(member: int) -> Sequence[Exemption]:
    """Those of a member, the latest first."""
    mine = scoped(select(Exemption), Exemption.member_id == member)
    return db.session.scalars(mine.order_by(Exemption.starts_on.desc())).all()


def add_guest(activity: int, member: int, *, by: int, now: datetime) -> None:
    """Let a member come as a guest (列席). Commits; doing it twice changes nothing."""
    values = {"activity_id": activity, "member_id": member, "entered_by": by, "entered_at": now}
    db.session.execute(insert(Guest).values(values).on_conflict_do_nothing())
    db.session.commit()
