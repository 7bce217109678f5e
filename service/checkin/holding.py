"""What the checkin room holds of a person: that he was there."""

from datetime import datetime

from sqlalchemy import select, text

from service.activity.settled import settled
from service.checkin.models import CheckIn
from service.extensions import db
from service.holdings import STAND_IN, Holding, Salts
from service.scope import scoped

# The reference was made by the person's phone.
UNNAME = text(
    f"""
    -- scope: an activity, and one person or everybody
    UPDATE check_ins SET member_id = {STAND_IN}, reference = CAST(id AS text)
    WHERE activity_id = :activity AND member_id > 0 AND (CAST(:member AS bigint) IS NULL OR member_id = :member)
    """  # noqa: S608 - an expression of our own
)


def unname(member: int | None, before: datetime, salts: Salts) -> int:
    """Take a member, or everybody, out of the check-ins of activities that ended before a moment; how many rows."""
    named = CheckIn.member_id > 0 if member is None else CheckIn.member_id == member
    over = CheckIn.activity_id.in_(settled(before))
    concerned = scoped(select(CheckIn.activity_id), named, over).distinct()
    done = 0
    for activity in db.session.scalars(concerned).all():
        values = {"activity": activity, "member": member, "salt": salts[activity]}
        done += db.session.execute(UNNAME, values).rowcount  # type: ignore[attr-defined]
    return done


HOLDING = Holding(room="checkin", columns=[CheckIn.member_id], unname=unname)
