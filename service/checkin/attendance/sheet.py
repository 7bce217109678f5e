"""The sign-in sheet (签到表): who is expected, exempt, on leave, who came and how, and a line to sign on.

It is printed, signed, and typed in again: the columns are those that a paper list has (`service.checkin.paper`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, text

from service import audit
from service.activity.models import Activity, Sitting
from service.checkin.attendance import nodes, roster
from service.checkin.attendance.figures import BELOW
from service.checkin.attendance.models import Leave, RosterEntry
from service.checkin.group import figures as screens
from service.checkin.group.figures import Screens
from service.checkin.models import STANDS, CheckIn
from service.checkin.scope import activity_of
from service.errors import ServiceError
from service.extensions import db
from service.labels import highest
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.scope import scoped

# As many as a request has time for.
MOST = 5_000
SHOWN = (
    Member.id,
    Member.name,
    RosterEntry.home_path,
    RosterEntry.standing,
    Leave.state,
    CheckIn.method,
    CheckIn.happened_at,
)

# Who is on the roster is shown where that says, wherever he may have moved.
UNLISTED = """NOT EXISTS (SELECT FROM roster_entries r /* scope: one member */
    WHERE r.activity_id = {0}.activity_id AND r.member_id = {0}.member_id)"""
EXPECTED = f"""
    SELECT r.member_id, r.home_path, r.standing FROM roster_entries r /* scope: an activity, and one node */
    WHERE r.activity_id = :activity AND (({BELOW.format("r.home_path")}) OR ({BELOW.format("r.receiving_path")}))
"""  # noqa: S608 - conditions of our own
# Before the start: who would be on the roster if it were frozen now.
FORESEEN = f"""
    SELECT member_id, home_path, standing FROM ({roster.WHO}) r
    WHERE ({BELOW.format("r.home_path")}) OR ({BELOW.format("r.receiving_path")})
"""  # noqa: S608 - conditions of our own
GUESTS = f"""
    SELECT g.member_id, :label || o.path, 'guest' FROM guests g /* scope: an activity, and one node */
    JOIN members m ON m.id = g.member_id JOIN organisations o ON o.id = m.organisation_id
    WHERE g.activity_id = :activity AND {BELOW.format("(:label || o.path)")} AND {UNLISTED.format("g")}
"""  # noqa: S608 - conditions of our own
CAME = f"""
    SELECT member_id, min(organisation_path), 'guest' FROM check_ins /* scope: an activity, and one node */
    WHERE activity_id = :activity AND {BELOW.format("organisation_path")} AND {STANDS}
        AND {UNLISTED.format("check_ins")} GROUP BY member_id
"""  # noqa: S608 - conditions of our own
SHEET = """
    -- scope: an activity, and one node's part of the tree
    WITH listed (member_id, home_path, standing) AS MATERIALIZED ({sources}), people AS (
        SELECT DISTINCT ON (member_id) * FROM listed ORDER BY member_id, standing = 'guest'
    )
    SELECT p.member_id, m.name, o.name AS branch, p.home_path, p.standing,
        NOT ({home}) AS staying, c.method, c.happened_at,
        EXISTS (SELECT FROM leaves l /* scope: the listed */
            WHERE l.activity_id = :activity AND l.member_id = p.member_id AND l.state = 'approved') AS on_leave
    FROM people p
    LEFT JOIN members m ON m.id = p.member_id
    LEFT JOIN organisations o ON o.id = CAST(split_part(p.home_path, '.', -1) AS bigint)
    LEFT JOIN LATERAL (SELECT method, happened_at FROM check_ins /* scope: the listed */
        WHERE activity_id = :activity AND member_id = p.member_id AND {stands}
            AND (CAST(:sitting AS bigint) IS NULL OR sitting_id = :sitting)
        ORDER BY happened_at LIMIT 1) c ON true
    ORDER BY p.home_path, p.member_id LIMIT :most
"""


class Line(NamedTuple):
    """One person on the sheet; `staying` is who is at home elsewhere."""

    member: int
    name: str | None
    branch: str | None
    home_path: str
    standing: str
    staying: bool
    method: str | None
    happened_at: datetime | None
    on_leave: bool


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which sheet: of an activity, at a node, perhaps of one sitting."""

    activity: int
    node: int
    sitting: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What is printed: the lines, what the page says above and below them, and how confidential they are."""

    activity: Activity
    branch: str
    lines: Sequence[Line]
    held_at: datetime
    made_at: datetime
    label: str
    heads: Screens

    @property
    def counts(self) -> Counter[str]:
        """People by what they are here: those of the node itself by standing and state, and who stays with it."""
        mine = [one for one in self.lines if not one.staying]
        found = Counter(one.standing for one in mine)
        found["present"] = sum(one.standing == "expected" and one.method is not None for one in mine)
        found["on_leave"] = sum(one.standing == "expected" and one.method is None and one.on_leave for one in mine)
        found["staying"] = len(self.lines) - len(mine)
        return found


def take(
    organiser: Organiser, asked: Asked, now: datetime, *, most: int | None = None, actor: audit.Party | None = None
) -> Sheet:
    """The sheet; that `actor`, or the organiser himself, takes it along is noted and committed before.

    ServiceError not_found, sheet_too_large for more than `most` people.
    """
    activity = activity_of(organiser, asked.activity)
    if asked.sitting is not None and asked.sitting not in {one.id for one in activity.sittings}:
        raise ServiceError("not_found")
    path = nodes.path_of(organiser, activity, asked.node, now)
    start = db.session.scalars(scoped(select(func.min(Sitting.starts_at)), Sitting.activity_id == activity.id)).one()
    lines = people(activity, path, start, sitting=asked.sitting, most=most)
    label = highest(column.property.columns[0] for column in SHOWN)
    mine = audit.Party("organiser", organiser.id)
    details: dict[str, int | str | bool | None] = {
        "what": "sign-in sheet",
        "activity": activity.id,
        "node": asked.node,
        "label": label,
        "rows": len(lines),
    }
    audit.note("data.exported", actor=actor or mine, subject=mine if actor else None, now=now, details=details)
    branch = db.session.get_one(Organisation, asked.node).name
    heads = screens.at(activity.id, path)[0]
    db.session.commit()
    return Sheet(activity=activity, branch=branch, lines=lines, held_at=start, made_at=now, label=label, heads=heads)


def people(activity: Activity, path: str, start: datetime, *, sitting: int | None, most: int | None) -> Sequence[Line]:
    """Everybody who has a line, by branch; sheet_too_large if there are more than `most`."""
    sources = [CAME]
    if activity.attendance == "rostered":
        frozen = roster.of(activity.id) is not None
        sources = [EXPECTED if frozen else FORESEEN, GUESTS, CAME]
        if not frozen:
            # As for the freeze itself: the planner cannot guess dated ranges.
            db.session.execute(text("SET LOCAL enable_nestloop = off"))
    asked = " UNION ALL ".join(f"({one})" for one in sources)
    question = SHEET.format(sources=asked, home=BELOW.format("p.home_path"), stands=STANDS)
    limit = None if most is None else most + 1
    values = roster.asked(activity, start) | {"path": path, "sitting": sitting, "most": limit}
    lines = [Line(*row) for row in db.session.execute(text(question), values)]
    db.session.execute(text("SET LOCAL enable_nestloop = on"))
    if most is not None and len(lines) > most:
        raise ServiceError("sheet_too_large", most_rows=most)
    return lines
