"""Who is on the roll at a node, a page at a time: with what was noted of each, taken back or not.

Of a rostered activity that has started it is the frozen roster, with who stays there from elsewhere, and guests: those
who are at home or staying now. Of any other it is all of these: nobody is expected, so nobody is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select, text

from service.activity.models import Activity
from service.checkin.attendance import roster
from service.checkin.attendance.figures import BELOW
from service.checkin.attendance.models import Leave, MakeUp
from service.checkin.models import CheckIn
from service.clock import day_of
from service.extensions import db
from service.home import rehearsed
from service.scope import scoped

MOST = 500
# By today's tree, whose paths have no label; one range of an index.
BELOW_NOW = BELOW.replace(":path", ":now_path")
HERE = f"""
    SELECT :label || o.path AS home_path, m.id AS member_id, m.status FROM organisations o
    JOIN members m ON m.organisation_id = o.id /* scope: a part of the tree */
    WHERE m.rehearsal = :rehearsal AND {BELOW_NOW.format("o.path")}
    UNION ALL
    SELECT :label || o.path, m.id, m.status FROM organisations s JOIN attachments a ON a.organisation_id = s.id
    JOIN members m ON m.id = a.member_id JOIN organisations o ON o.id = m.organisation_id
    WHERE m.rehearsal = :rehearsal AND {BELOW_NOW.format("s.path")}
        AND a.home_confirmed_at IS NOT NULL AND a.receiving_confirmed_at IS NOT NULL
        AND a.starts_on <= :day AND coalesce(a.ends_on, 'infinity') > :day
        AND coalesce(a.closed_on, 'infinity') > :day
"""  # noqa: S608 - conditions of our own
# Guests are looked for among those who are here, not among all that came: that would read every check-in of the day.
ON_ROSTER = f"""
    SELECT r.home_path, r.member_id, r.standing FROM roster_entries r /* scope: one activity, and a part of the tree */
    WHERE r.activity_id = :activity AND ({BELOW.format("r.home_path")} OR {BELOW.format("r.receiving_path")})
    UNION ALL
    SELECT here.home_path, here.member_id, 'guest' FROM ({HERE}) here
    WHERE NOT EXISTS (
            SELECT FROM roster_entries r WHERE r.activity_id = :activity AND r.member_id = here.member_id)
        AND (EXISTS (SELECT FROM guests g WHERE g.activity_id = :activity AND g.member_id = here.member_id)
            OR EXISTS (SELECT FROM check_ins c WHERE c.activity_id = :activity AND c.member_id = here.member_id))
"""  # noqa: S608 - conditions of our own
AT_HOME = f"""
    SELECT home_path, member_id, 'open' AS standing FROM ({HERE}) here WHERE status = 'active'
"""  # noqa: S608 - conditions of our own
# Whoever is found twice, say as one who has moved since, is shown once.
PAGE = """
    -- scope: an activity, and one node's part of the tree
    SELECT one.home_path, one.member_id, m.name, one.standing FROM (
        SELECT min(home_path) AS home_path, member_id, min(standing) AS standing FROM ({who}) who GROUP BY member_id
    ) one JOIN members m ON m.id = one.member_id
    WHERE (one.home_path, one.member_id) > (:after_path, :after) ORDER BY one.home_path, one.member_id LIMIT :most
"""
FROZEN, UNFROZEN = (text(PAGE.format(who=who)) for who in (ON_ROSTER, AT_HOME))
Row = TypeVar("Row", CheckIn, Leave, MakeUp)


class Line(NamedTuple):
    """Somebody on the roll."""

    home_path: str
    member: int
    name: str
    standing: str


@dataclass(frozen=True)
class Page:
    """Some lines of the roll, and by member what was noted; `full` if more may follow."""

    lines: Sequence[Line]
    frozen: bool
    check_ins: Mapping[int, list[CheckIn]] = field(default_factory=dict)
    leaves: Mapping[int, list[Leave]] = field(default_factory=dict)
    make_ups: Mapping[int, list[MakeUp]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether there may be another page behind the last line."""
        return len(self.lines) == MOST


def call(activity: Activity, path: str, now: datetime, *, today: str, after: tuple[str, int] = ("", 0)) -> Page:
    """The roll of an activity behind `after`, at the node with `path` in its rows and `today` in the tree of now."""
    frozen = roster.of(activity.id) is not None
    values: dict[str, Any] = {"activity": activity.id, "path": path, "after_path": after[0], "after": after[1]}
    values |= {"label": rehearsed("") if activity.rehearsal else "", "rehearsal": activity.rehearsal, "most": MOST}
    values |= {"now_path": today, "day": day_of(now)}
    rows = db.session.execute(FROZEN if frozen else UNFROZEN, values)
    lines = [Line(*row) for row in rows]
    members = [line.member for line in lines]
    return Page(
        lines,
        frozen,
        check_ins=_noted(CheckIn, activity.id, members),
        leaves=_noted(Leave, activity.id, members),
        make_ups=_noted(MakeUp, activity.id, members),
    )


def _noted(model: type[Row], activity: int, members: Iterable[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    question = scoped(select(model), model.activity_id == activity, model.member_id.in_(members)).order_by(model.id)
    for row in db.session.scalars(question.execution_options(populate_existing=True)):
        found[row.member_id].append(row)
    return found
