"""What the rule of completion is told: SQL that every question of it shares, and the answer for one member."""

from typing import Any

from sqlalchemy import Row, text

from service.checkin.attendance import roster
from service.checkin.attendance.completion import Asked, Evidence
from service.checkin.models import STANDS, Terms
from service.extensions import db
from service.live.watch_time import WATCHERS

HERE = "check_ins.activity_id = r.activity_id AND check_ins.member_id = r.member_id"
MINE = "u.activity_id = r.activity_id AND u.member_id = r.member_id AND u.annulled_at IS NULL"
# Of a row `r` with an activity and a member: whether he came and not only from afar (null if he did not come), how he
# made up for it, and whether he watched for long enough, which is reckoned only where it is asked for. EXISTS may be
# answered for all rows at once, a single value is looked up for each: so that is asked of those only who have one.
COLUMNS = f"""
    CASE WHEN EXISTS (SELECT FROM check_ins /* scope: one activity */ WHERE {HERE} AND {STANDS})
        THEN EXISTS (SELECT FROM check_ins /* scope: one activity */ WHERE {HERE} AND {STANDS} AND method <> 'self')
    END AS there,
    CASE WHEN EXISTS (SELECT FROM make_ups u /* scope: one activity */ WHERE {MINE})
        THEN (SELECT kind FROM make_ups u /* scope: one activity */ WHERE {MINE}) END AS made_up,
    {{watched}} AS watched
"""  # noqa: S608 - conditions of our own
WATCHED = "CASE WHEN :seconds > 0 THEN r.member_id IN (SELECT member_id FROM watchers) ELSE false END"
ONE = text(
    f"""
    -- scope: one member
    WITH watchers AS ({WATCHERS.format(who="member_id = :member")})
    SELECT {COLUMNS.format(watched=WATCHED)}
    FROM (SELECT CAST(:activity AS bigint) AS activity_id, CAST(:member AS bigint) AS member_id) r
    """  # noqa: S608 - conditions of our own
)


def asked(activity: int) -> Asked:
    """What an activity asks for: what was frozen with its roster, else what its terms say now."""
    said = roster.of(activity) or db.session.get(Terms, activity)
    return Asked(said.live_minutes, said.replay) if said else Asked()


def values(activity: int, asked: Asked) -> dict[str, Any]:
    """What statements with `COLUMNS` are given."""
    return {"activity": activity, "seconds": asked.live_minutes * 60}


def of_member(activity: int, member: int, asked: Asked) -> Evidence:
    """What is known of one member."""
    return of_row(db.session.execute(ONE, {**values(activity, asked), "member": member}).one())


def of_row(row: Row[Any]) -> Evidence:
    """A row with `COLUMNS` as evidence."""
    return Evidence(came=row.there is not None, there=bool(row.there), watched=row.watched, made_up=row.made_up)
