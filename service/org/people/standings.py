"""How members stand: their status and their category, each from a day on, with what was before.

What a status means for a roster that is frozen is said here once: who is `active` (在册) or `floating` (流动) is
expected, who is `abroad` (出国境) or `out_of_contact` (失去联系) is on it and exempt, who has `left` (已转出) is not on
it. All but those who have left are members: they log in, are bound, and may come.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.dialects.postgresql import insert

from service.clock import day_of
from service.extensions import db
from service.org.entries import refuse_future
from service.org.models import Member
from service.org.people.models import Standing
from service.scope import scoped

EXPECTED = ("active", "floating")
# Members whose status was ever changed, with the one of `:day` at the moment `:start`: the last change until then, else
# what the first one after it found. What was entered on the day itself after that moment was not so at that moment.
STATUSES_ON = """
    SELECT DISTINCT ON (member_id) member_id, CASE WHEN held THEN value ELSE former END AS status
    FROM member_standings /* scope: whom the statement around it asks for */
    CROSS JOIN LATERAL (
        SELECT since <= :day AND (since < :day OR entered_at <= :start
            OR CAST(entered_at AT TIME ZONE 'Asia/Shanghai' AS date) > since) AS held
    ) AS by_then
    WHERE kind = 'status' ORDER BY member_id, held DESC, CASE WHEN held THEN since END DESC, since
"""
STATUS_ON = text(
    f"""
    -- scope: one member
    SELECT coalesce(s.status, m.status) FROM members m LEFT JOIN ({STATUSES_ON}) s ON s.member_id = m.id
    WHERE m.id = :member
    """  # noqa: S608 - a text of our own
)


def is_member() -> ColumnElement[bool]:
    """Whether someone has not left."""
    return Member.status != "left"


def enter(member: Member, kind: str, value: str | None, *, since: date | None, now: datetime) -> None:
    """Let a member stand so from a day on, today without one, until the next change that is known; in the transaction.

    ServiceError validation for a day to come.
    """
    today = day_of(now)
    since = since or today
    refuse_future(since, today)
    known = of_member(member.id, kind)
    earlier = [one for one in known if one.since < since]
    later = [one for one in known if one.since > since]
    former = earlier[-1].value if earlier else later[0].former if later else getattr(member, kind)
    row = {"member_id": member.id, "kind": kind, "since": since, "value": value, "former": former, "entered_at": now}
    entered = insert(Standing).values(row)
    # On one day the last word counts; what was before that day stays.
    told = {"value": value, "entered_at": now}
    db.session.execute(entered.on_conflict_do_update(index_elements=["member_id", "kind", "since"], set_=told))
    if not later:
        setattr(member, kind, value)


def of_member(member: int, kind: str | None = None) -> Sequence[Standing]:
    """The changes of a member, the earliest first."""
    question = scoped(select(Standing), Standing.member_id == member).order_by(Standing.since, Standing.kind)
    question = question.execution_options(populate_existing=True)
    return db.session.scalars(question if kind is None else question.where(Standing.kind == kind)).all()


def status_on(member: int, day: date) -> str:
    """The status of a member at the end of a day."""
    values = {"member": member, "day": day, "start": datetime.max.replace(tzinfo=UTC)}
    found: str = db.session.execute(STATUS_ON, values).scalar_one()
    return found
