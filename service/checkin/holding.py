"""What the checkin room holds of a person: that he was there, or was expected, asked for leave, made up for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, exists, or_, select, text

from service.activity.models import Sitting
from service.activity.settled import settled
from service.checkin.attendance.models import Exemption, Guest, Leave, MakeUp, RosterEntry
from service.checkin.flags import devices
from service.checkin.models import CheckIn, Refusal
from service.clock import day_of
from service.extensions import db
from service.holdings import STAND_IN, Holding, Salts
from service.scope import scoped

# A make-up elsewhere names a check-in of another activity, which may lose its person first; so does a flag of one who
# was at two places.
LINKS = (
    text(
        """
        -- scope: make-ups that name check-ins of an activity which have lost their person
        UPDATE make_ups u SET check_in_id = NULL FROM check_ins c
        WHERE c.id = u.check_in_id AND c.activity_id = :activity AND c.member_id < 0
        """
    ),
    text(
        """
        -- scope: flags about check-ins of an activity which have lost their person
        WITH gone AS (
            DELETE FROM flagged_check_ins l USING check_ins c, flags f
            WHERE c.id = l.check_in_id AND f.id = l.flag_id AND f.kind = 'place'
                AND c.activity_id = :activity AND c.member_id < 0
            RETURNING l.flag_id
        )
        UPDATE flags f SET subject = NULL FROM gone WHERE f.id = gone.flag_id
        """
    ),
)
DATED: Sequence[Any] = (CheckIn, Refusal, RosterEntry, Leave, Guest, MakeUp)
# References were made by the person's phone; reasons may tell of him. Who entered, decided or took back was somebody
# too: that there was one stays (0), who it was goes. Evidence from another activity would lead from its rows to these.
SOMEBODY = ("entered_by", "settled_by", "asked_by", "decided_by", "annulled_by")
UNNAMED = {
    **{name: f"CASE WHEN {name} IS NOT NULL THEN 0 END" for name in SOMEBODY},
    "confirmed_by": "NULL",
    "check_in_id": "NULL",
    "reference": "'unnamed-' || id",
    "reason": "CASE WHEN reason IS NOT NULL THEN '' END",
    "annul_reason": "CASE WHEN annul_reason IS NOT NULL THEN '' END",
    "settlement": "CASE WHEN settlement IS NOT NULL THEN '' END",
}
UNSAID = text(
    """
    -- scope: an activity, and one person or everybody
    UPDATE flags SET note = '', resolved_by = 0
    WHERE activity_id = :activity AND (note <> '' OR resolved_by <> 0) AND id IN (
        SELECT l.flag_id FROM flagged_check_ins l JOIN check_ins c ON c.id = l.check_in_id
        WHERE c.member_id > 0 AND (CAST(:member AS bigint) IS NULL OR c.member_id = :member))
    """
)


def unname(member: int | None, before: datetime, salts: Salts) -> int:
    """Take a member, or everybody, out of the rows of activities that ended before a moment; how many rows."""
    named = [model.member_id > 0 if member is None else model.member_id == member for model in DATED]
    there = [exists().where(one.activity_id == Sitting.activity_id, who) for one, who in zip(DATED, named, strict=True)]
    concerned = scoped(select(Sitting.activity_id), or_(*there), Sitting.activity_id.in_(settled(before))).distinct()
    done = 0
    for activity in db.session.scalars(concerned).all():
        values = {"activity": activity, "member": member, "salt": salts[activity]}
        # What somebody said of a flag may tell of whom it was about.
        db.session.execute(UNSAID, values)
        for model in DATED:
            done += db.session.execute(text(unnaming(model.__table__)), values).rowcount  # type: ignore[attr-defined]
        for links in LINKS:
            db.session.execute(links, values)
    return done + (lapse(before) if member is None else 0)


def lapse(before: datetime) -> int:
    """Remove exemptions that ended before a moment; how many."""
    ended = scoped(delete(Exemption), Exemption.ends_on < day_of(before))
    return db.session.execute(ended).rowcount  # type: ignore[attr-defined, no-any-return]


def unnaming(table: Table) -> str:
    """The statement that takes one person, or everybody, out of a table's rows of an activity."""
    blanked = "".join(f", {name} = {value}" for name, value in UNNAMED.items() if name in table.columns)
    return f"""
        -- scope: an activity, and one person or everybody
        UPDATE {table.name} SET member_id = {STAND_IN}{blanked}
        WHERE activity_id = :activity AND member_id > 0 AND (CAST(:member AS bigint) IS NULL OR member_id = :member)
        """  # noqa: S608 - names and expressions of our own


def forget(member: int, _: datetime) -> None:
    """Remove what no activity counts."""
    db.session.execute(scoped(delete(Exemption), Exemption.member_id == member))
    devices.forget(member)


HOLDING = Holding(
    room="checkin", columns=[*(model.member_id for model in DATED), Exemption.member_id], forget=forget, unname=unname
)
