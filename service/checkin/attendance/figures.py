"""Attendance at a node of the tree: who was expected, who came, who is missing; and it all adds up.

Everybody counts once, at home as of the day. Who stays with a receiving branch is shown there too, apart, and never
added. People and attendances are two units: who came to two sittings is one person and two attendances.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from sqlalchemy import text

from service.checkin.attendance import evidence
from service.checkin.attendance.completion import SOURCES, Asked, credit
from service.checkin.attendance.evidence import COLUMNS, WATCHED
from service.checkin.models import STANDS
from service.extensions import db
from service.live.watch_time import WATCHERS

NOTHING = Asked()

# Below a path sort only longer ones: '.' precedes '/', and '/' precedes every digit.
BELOW = "{0} >= :path AND {0} < :path || '/'"
# By child: the next number of the path after the node's own, "" at the node itself.
CHILD = "split_part(substr({0}, length(:path) + 2), '.', 1)"
# Looked up row by row through indexes, and not joined: a roster is asked about seconds after it was written, when the
# planner knows nothing of it yet and would join it in a loop.
ROWS = f"""
    SELECT r.home_path, r.member_id, r.standing, {COLUMNS},
        EXISTS (SELECT FROM leaves l /* scope: one activity */
            WHERE l.activity_id = r.activity_id AND l.member_id = r.member_id AND l.state = 'approved') AS excused
    FROM roster_entries r /* scope: one activity, and a part of the tree */ WHERE r.activity_id = :activity
"""  # noqa: S608 - a condition of our own
EVERY = WATCHERS.format(who="true")
ALIKE = "standing, there, watched, made_up, excused"
HOMES = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    WITH watchers AS ({EVERY})
    SELECT {CHILD.format("home_path")} AS child, {ALIKE}, count(*) AS people
    FROM ({ROWS.format(watched=WATCHED)} AND {BELOW.format("r.home_path")}) one GROUP BY child, {ALIKE} ORDER BY child
    """  # noqa: S608 - conditions of our own
)
STAYING = text(
    f"""
    -- scope: an activity, and who stays within one node's part of the tree
    WITH watchers AS ({EVERY})
    SELECT {ALIKE}, count(*) AS people
    FROM ({ROWS.format(watched=WATCHED)}
        AND {BELOW.format("r.receiving_path")} AND NOT ({BELOW.format("r.home_path")})) one GROUP BY {ALIKE}
    """  # noqa: S608 - conditions of our own
)
GUESTS = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    WITH watchers AS ({EVERY})
    SELECT there, {WATCHED} AS watched, NULL AS made_up, count(*) AS people
    FROM (
        SELECT member_id, bool_or(method <> 'self') AS there
        FROM check_ins LEFT JOIN roster_entries e USING (activity_id, member_id)
        WHERE activity_id = :activity AND {BELOW.format("organisation_path")} AND {STANDS} AND e.home_path IS NULL
        GROUP BY member_id
    ) r GROUP BY there, watched
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
    FROM ({ROWS.format(watched="false")} AND {BELOW.format("r.home_path")} AND r.standing = 'expected'
        AND (r.home_path, r.member_id) > (:after_path, :after)) one
    JOIN members m ON m.id = one.member_id
    WHERE there IS NULL AND NOT excused ORDER BY one.home_path, one.member_id LIMIT :most
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
    completed: int = 0

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
    """Attendance at a node: of all below it, of each child by its number (0: at the node itself), and of others.

    `credits` are people by the source of their one credit: of those expected; of an open activity, of all who came.
    """

    all: Sums
    children: dict[int, Sums]
    staying: Sums
    guests: int
    credits: Counter[str]
    methods: dict[str, dict[str, int]] = field(default_factory=dict)


class Missing(NamedTuple):
    """Somebody who is expected and has neither come nor been given leave."""

    home_path: str
    member: int
    name: str


def rostered(activity: int, path: str, asked: Asked = NOTHING) -> Figures:
    """The figures of an activity whose roster is frozen, at the node that had this path on its day."""
    values = evidence.values(activity, asked) | {"path": path}
    children: dict[int, Sums] = defaultdict(Sums)
    sources: Counter[str] = Counter()
    for row in db.session.execute(HOMES, values):
        source = credit(asked, evidence.of_row(row))
        children[int(row.child or 0)] += sums_of(row, source)
        sources[source or ""] += row.people * (row.standing == "expected")
    others = [sums_of(row, credit(asked, evidence.of_row(row))) for row in db.session.execute(STAYING, values)]
    return Figures(
        all=sum(children.values(), Sums()),
        children=dict(children),
        staying=sum(others, Sums()),
        guests=sum(row.people for row in db.session.execute(GUESTS, values)),
        credits=of_sources(sources),
        methods=by_method(values),
    )


def open_to_all(activity: int, path: str, asked: Asked = NOTHING) -> Figures:
    """The figures of an activity that expects nobody: who came, how, and who has completed it."""
    values = evidence.values(activity, asked) | {"path": path}
    sources: Counter[str] = Counter()
    for row in db.session.execute(GUESTS, values):
        sources[credit(asked, evidence.of_row(row)) or ""] += row.people
    guests, by = sources.total(), by_method(values)
    return Figures(all=Sums(), children={}, staying=Sums(), guests=guests, credits=of_sources(sources), methods=by)


def sums_of(row: Any, source: str | None) -> Sums:
    """Of people who are alike in all that counts."""
    people, expected, came = row.people, row.standing == "expected", row.there is not None
    away = people * (expected and not came)
    return Sums(
        expected=people * expected,
        exempt=people * (not expected),
        present=people * (expected and came),
        exempt_present=people * (not expected and came),
        on_leave=away * row.excused,
        made_up=away * (row.made_up is not None),
        completed=people * (expected and source is not None),
    )


def of_sources(people: Counter[str]) -> Counter[str]:
    """Those who have a credit."""
    return Counter({source: people[source] for source in SOURCES if people[source]})


def by_method(values: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Attendances by method: those that stand, those of them that were late, and proxies that wait for confirmation."""
    return {row.method: _without(row, "method") for row in db.session.execute(METHODS, values)}


def missing(activity: int, path: str, *, after: tuple[str, int] = ("", 0), most: int = MOST) -> Sequence[Missing]:
    """Who is missing now at a node, by home branch, a page at a time."""
    values = {"activity": activity, "path": path, "after_path": after[0], "after": after[1], "most": min(most, MOST)}
    return [Missing(*row) for row in db.session.execute(MISSING, values)]


def _without(row: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in names}
