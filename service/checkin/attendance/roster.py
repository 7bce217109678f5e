"""Freezing the roster at the start: who is expected, as the tree, homes, attachments and members stand then.

Later moves change nothing of it. One statement writes it, however many are on it; freezing twice changes nothing.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text

from service.activity.models import Activity, Sitting
from service.checkin.attendance.models import Roster
from service.checkin.models import Terms
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.home import rehearsed
from service.org.people.models import FormerHome
from service.org.people.standings import EXPECTED, STATUSES_ON
from service.scope import everything, scoped

# An activity whose start was missed for longer is not frozen any more: the members of its day are not known now.
MISSED = timedelta(hours=48)
# Until then it is known where members were at home before they moved.
KEPT = timedelta(days=3)
# An organisation is invited with all below it, a joint body through whichever of its parents. Of several attachments
# the one with an invited branch counts, then the latest.
WHO = f"""
    -- scope: the members of the invited organisations, on that day
    WITH invited AS MATERIALIZED (
        SELECT DISTINCT below.organisation_id
        FROM activity_invitations i
        JOIN organisation_paths top ON top.organisation_id = i.organisation_id AND top.during @> CAST(:day AS date)
        JOIN organisation_paths below ON below.path >= top.path AND below.path < top.path || '/'
            AND below.during @> CAST(:day AS date)
        WHERE i.activity_id = :activity
    ), homes AS MATERIALIZED (
        SELECT organisation_id, min(path) AS path FROM organisation_paths
        WHERE home AND during @> CAST(:day AS date) GROUP BY organisation_id
    ), stays AS MATERIALIZED (
        SELECT DISTINCT ON (a.member_id) a.member_id, a.organisation_id, i.organisation_id IS NOT NULL AS invited
        FROM attachments a LEFT JOIN invited i ON i.organisation_id = a.organisation_id
        WHERE a.home_confirmed_at IS NOT NULL AND a.receiving_confirmed_at IS NOT NULL
            AND a.starts_on <= :day AND (a.ends_on IS NULL OR a.ends_on > :day)
            AND (a.closed_on IS NULL OR a.closed_on > :day)
        ORDER BY a.member_id, invited DESC, a.starts_on DESC, a.id DESC
    ), standings AS MATERIALIZED ({STATUSES_ON}), people AS MATERIALIZED (
        -- Who has moved or left since the start is where he was; where that branch was merged meanwhile as of before,
        -- he is where its members went.
        SELECT m.id, coalesce(before.organisation_id, m.organisation_id) AS organisation_id,
            coalesce(standings.status, former.status, m.status) AS status
        FROM members m
        LEFT JOIN (
            SELECT DISTINCT ON (member_id) member_id, organisation_id, status FROM former_homes
            WHERE until > :start ORDER BY member_id, until, id
        ) former ON former.member_id = m.id
        LEFT JOIN homes before ON before.organisation_id = former.organisation_id
        LEFT JOIN standings ON standings.member_id = m.id
        WHERE m.rehearsal = :rehearsal AND coalesce(standings.status, former.status, m.status) <> 'left'
    ), excused AS MATERIALIZED (
        SELECT DISTINCT member_id FROM exemptions WHERE starts_on <= :day AND (ends_on IS NULL OR ends_on > :day)
    )
    SELECT CAST(:activity AS bigint) AS activity_id, m.id AS member_id, :label || homes.path AS home_path,
        :label || receiving.path AS receiving_path,
        CASE WHEN excused.member_id IS NULL AND m.status IN {EXPECTED} THEN 'expected' ELSE 'exempt' END AS standing
    FROM people m
    JOIN homes ON homes.organisation_id = m.organisation_id
    LEFT JOIN invited ON invited.organisation_id = m.organisation_id
    LEFT JOIN stays ON stays.member_id = m.id
    LEFT JOIN homes receiving ON receiving.organisation_id = stays.organisation_id
    LEFT JOIN excused ON excused.member_id = m.id
    WHERE invited.organisation_id IS NOT NULL OR stays.invited
"""  # noqa: S608 - texts of our own
FREEZE = text(f"INSERT INTO roster_entries (activity_id, member_id, home_path, receiving_path, standing) {WHO}")
COUNT = text(
    """
    -- scope: one activity's roster
    SELECT count(*) FILTER (WHERE standing = 'expected'), count(*) FILTER (WHERE standing = 'exempt')
    FROM roster_entries WHERE activity_id = :activity
    """
)


def freeze_due(now: datetime) -> int:
    """Freeze the roster of every activity that has started; how many. Commits each."""
    db.session.execute(everything("homes of before", delete(FormerHome).where(FormerHome.until < now - KEPT)))
    db.session.commit()
    start = func.min(Sitting.starts_at)
    due = (
        select(Sitting.activity_id)
        .join(Activity, Activity.id == Sitting.activity_id)
        .where(Activity.attendance == "rostered", Activity.id.not_in(select(Roster.activity_id)))
        .group_by(Sitting.activity_id)
        .having(start <= now, start > now - MISSED)
    )
    found = db.session.scalars(everything("all that start are frozen", due)).all()
    return sum(freeze(activity, now) for activity in found)


def freeze(activity: int, now: datetime) -> bool:
    """Freeze the roster as of the day on which the activity starts; whether it was not frozen before. Commits.

    ServiceError not_rostered for an open activity, not_started before its first sitting starts.
    """
    db.session.execute(text("SET LOCAL statement_timeout = '5min'"))
    # Two who freeze take turns, and no check-in is judged by half a roster: both are in one transaction.
    row = db.session.scalar(scoped(select(Activity), Activity.id == activity).with_for_update())
    if row is None or row.attendance != "rostered":
        db.session.rollback()
        raise ServiceError("not_found" if row is None else "not_rostered")
    start = db.session.scalar(scoped(select(func.min(Sitting.starts_at)), Sitting.activity_id == activity))
    if start is None or start > now:
        db.session.rollback()
        raise ServiceError("not_started")
    fresh = db.session.get(Roster, activity) is None
    if fresh:
        _write(row, start, now)
    db.session.commit()
    return fresh


def asked(activity: Activity, start: datetime) -> dict[str, Any]:
    """What WHO asks for: the roster of an activity that starts then."""
    label = rehearsed("") if activity.rehearsal else ""
    values = {"activity": activity.id, "rehearsal": activity.rehearsal, "label": label}
    return values | {"start": start, "day": day_of(start)}


def of(activity: int) -> Roster | None:
    """That the roster was frozen, and how; None if it was not."""
    return db.session.get(Roster, activity)


def _write(activity: Activity, start: datetime, now: datetime) -> None:
    # The planner cannot guess dated ranges, and would join 150,000 members in a loop; afterwards it knows the roster.
    db.session.execute(text("SET LOCAL enable_nestloop = off"))
    values, terms = asked(activity, start), db.session.get(Terms, activity.id)
    db.session.execute(FREEZE, values)
    db.session.execute(text("SET LOCAL enable_nestloop = on"))
    db.session.execute(text("ANALYZE roster_entries"))
    expected, exempt = db.session.execute(COUNT, values).one()
    db.session.add(
        Roster(
            activity_id=activity.id,
            frozen_at=now,
            as_of=values["day"],
            denominator=terms.denominator if terms else "expected",
            live_minutes=terms.live_minutes if terms else 0,
            replay=terms.replay if terms else False,
            expected=expected,
            exempt=exempt,
        )
    )
