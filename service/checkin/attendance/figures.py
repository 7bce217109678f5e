"""Attendance at a node of the tree: who was expected, who came, who is missing; and it all adds up.

Everybody counts once, at home as of the day. Who stays with a receiving branch is shown there too, apart, and never
added. People and attendances are two units: who came to two sittings is one person and two attendances.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from sqlalchemy import text

from service.checkin.models import STANDS
from service.extensions import db

# Below a path sort only longer ones: '.' precedes '/', and '/' precedes every digit.
BELOW = "{0} >= :path AND {0} < :path || '/'"
# By child: the next number of the path after the node's own, "" at the node itself.
CHILD = "split_part(substr({0}, length(:path) + 2), '.', 1)"
# Looked up row by row through indexes, and not joined: a roster is asked about seconds after it was written, when the
# planner knows nothing of it yet and would join it in a loop.
ROWS = f"""
    SELECT r.home_path, r.member_id, r.standing,
        EXISTS (SELECT FROM check_ins /* scope: one activity */
            WHERE check_ins.activity_id = r.activity_id AND check_ins.member_id = r.member_id AND {STANDS}) AS came,
        EXISTS (SELECT FROM leaves l /* scope: one activity */
            WHERE l.activity_id = r.activity_id AND l.member_id = r.member_id AND l.state = 'approved') AS excused,
        EXISTS (SELECT FROM make_ups u /* scope: one activity */
            WHERE u.activity_id = r.activity_id AND u.member_id = r.member_id AND u.annulled_at IS NULL) AS made_up
    FROM roster_entries r /* scope: one activity, and a part of the tree */ WHERE r.activity_id = :activity
"""  # noqa: S608 - a condition of our own
SUMS = """
    count(*) FILTER (WHERE standing = 'expected') AS expected,
    count(*) FILTER (WHERE standing = 'exempt') AS exempt,
    count(*) FILTER (WHERE standing = 'expected' AND came) AS present,
    count(*) FILTER (WHERE standing = 'exempt' AND came) AS exempt_present,
    count(*) FILTER (WHERE standing = 'expected' AND NOT came AND excused) AS on_leave,
    count(*) FILTER (WHERE standing = 'expected' AND NOT came AND made_up) AS made_up
"""
HOMES = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    SELECT {CHILD.format("home_path")} AS child, {SUMS}
    FROM ({ROWS} AND {BELOW.format("r.home_path")}) one GROUP BY 1 ORDER BY 1
    """  # noqa: S608 - conditions of our own
)
STAYING = text(
    f"""
    -- scope: an activity, and who stays within one node's part of the tree
    SELECT {SUMS}
    FROM ({ROWS} AND {BELOW.format("r.receiving_path")} AND NOT ({BELOW.format("r.home_path")})) one
    """  # noqa: S608 - conditions of our own
)
GUESTS = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    SELECT count(DISTINCT member_id) FROM check_ins LEFT JOIN roster_entries r USING (activity_id, member_id)
    WHERE activity_id = :activity AND {BELOW.format("organisation_path")} AND {STANDS} AND r.home_path IS NULL
    """  # noqa: S608 - conditions of our own
)
METHODS = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    SELECT method, count(*) FILTER (WHERE {STANDS}) AS attendances,
        count(*) FILTER (WHERE {STANDS} AND late) AS late,
        count(*) FILTER (WHERE annulled_at IS NULL AND NOT ({STANDS})) AS unconfirmed
    FROM check_ins LEFT JOIN roster_entries r USING (activity_id, member_id)
    WHERE activity_id = :activity AND {BELOW.format("coalesce(r.home_path, organisation_path)")} GROUP BY 1 ORDER BY 1
    """  # noqa: S608 - conditions of our own
)
MISSING = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    SELECT one.home_path, m.id, m.name
    FROM ({ROWS} AND {BELOW.format("r.home_path")} AND r.standing = 'expected'
        AND (r.home_path, r.member_id) > (:after_path, :after)) one
    JOIN members m ON m.id = one.member_id
    WHERE NOT came AND NOT excused ORDER BY one.home_path, one.member_id LIMIT :most
    """  # noqa: S608 - conditions of our own
)
MOST = 500


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What is counted of those who are on the roster."""

    expected: int = 0
    exempt: int = 0
    present: int = 0
    exempt_present: int = 0
    on_leave: int = 0
    made_up: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Sums)})

    @property
    def absent(self) -> int:
        """Expected, not there, and not on leave."""
        return self.expected - self.present - self.on_leave

    def rate(self, denominator: str) -> float | None:
        """Present ÷ expected, by the rule that was stored with the roster; None of nobody."""
        below = self.expected - (self.on_leave if denominator == "expected_less_leave" else 0)
        return round(self.present / below, 4) if below else None

    def shown(self, denominator: str) -> dict[str, Any]:
        """As AttendanceOut wants it."""
        return asdict(self) | {"absent": self.absent, "rate": self.rate(denominator)}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Attendance at a node: of all below it, of each child by its number (0: at the node itself), and of others."""

    all: Sums
    children: dict[int, Sums]
    staying: Sums
    guests: int
    methods: dict[str, dict[str, int]] = field(default_factory=dict)


class Missing(NamedTuple):
    """Somebody who is expected and has neither come nor been given leave."""

    home_path: str
    member: int
    name: str


def rostered(activity: int, path: str) -> Figures:
    """The figures of an activity whose roster is frozen, at the node that had this path on its day."""
    values = {"activity": activity, "path": path}
    rows = db.session.execute(HOMES, values)
    children = {int(row.child or 0): Sums(**_without(row, "child")) for row in rows}
    staying = Sums(**_without(db.session.execute(STAYING, values).one()))
    guests = db.session.scalar(GUESTS, values) or 0
    return Figures(
        all=sum(children.values(), Sums()), children=children, staying=staying, guests=guests, methods=by_method(values)
    )


def open_to_all(activity: int, path: str) -> Figures:
    """The figures of an activity that expects nobody: who came, and how."""
    values = {"activity": activity, "path": path}
    guests = db.session.scalar(GUESTS, values) or 0
    return Figures(all=Sums(), children={}, staying=Sums(), guests=guests, methods=by_method(values))


def by_method(values: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Attendances by method: those that stand, those of them that were late, and proxies that wait for confirmation."""
    return {row.method: _without(row, "method") for row in db.session.execute(METHODS, values)}


def missing(activity: int, path: str, *, after: tuple[str, int] = ("", 0), most: int = MOST) -> Sequence[Missing]:
    """Who is missing now at a node, by home branch, a page at a time."""
    values = {"activity": activity, "path": path, "after_path": after[0], "after": after[1], "most": min(most, MOST)}
    return [Missing(*row) for row in db.session.execute(MISSING, values)]


def _without(row: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in names}
