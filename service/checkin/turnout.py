"""Counting the check-ins of a stream's sitting that stand, for walls that ask every second.

Rows are only ever added, so what lies below a mark is counted once and kept; each reading counts what came since, and
takes away those that do not stand, which are few and have indexes of their own. A reading is one statement and so one
moment. The mark is the highest number that was there before the transactions that write now began: numbers are given
out in order, but committed in any, and below the mark none is left to come (docs/decisions/0024).
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Row, select, text

from service.activity.models import Sitting, Stream
from service.checkin.models import STANDS
from service.extensions import db
from service.live.turnout import Sums
from service.scope import scoped

HORIZON = text(
    """
    -- scope: the highest number of all
    SELECT (SELECT coalesce(max(id), 0) FROM check_ins) AS top,
        CAST(CAST(pg_snapshot_xmin(now) AS text) AS bigint) AS oldest,
        CAST(CAST(pg_current_xact_id() AS text) AS bigint) AS own
    FROM pg_current_snapshot() AS now
    """
)
HERE = "activity_id = :activity AND sitting_id = :sitting"
COLUMNS = """organisation_path, place_path, method,
    string_to_array(organisation_path, '.') && CAST(:own AS text[]) AS mine"""
SUMS = """
    SELECT kind, organisation_path, place_path, method, mine, count(*) AS people FROM ({rows}) one
    GROUP BY GROUPING SETS ((kind, organisation_path), (kind, mine, place_path), (kind, mine, method))
"""
UP_TO = text(
    SUMS.format(
        rows=f"""
        /* scope: one sitting, counted */
        SELECT 'kept' AS kind, {COLUMNS} FROM check_ins WHERE {HERE} AND id <= :mark
        """  # noqa: S608 - conditions and columns of our own
    )
)
# A range with two ends is taken for narrow while the planner knows nothing of the table: when all come at once.
LAST = 2**63 - 1
# Of those that were not taken back only proxies can fail to stand; said so that their index is used.
SINCE = text(
    SUMS.format(
        rows=f"""
        /* scope: one sitting, counted */
        SELECT CASE WHEN id <= :next THEN 'kept' ELSE 'new' END AS kind, {COLUMNS}
        FROM check_ins WHERE {HERE} AND id > :mark AND id <= {LAST}
        UNION ALL SELECT 'gone', {COLUMNS} FROM check_ins WHERE {HERE} AND annulled_at IS NOT NULL
        UNION ALL SELECT 'gone', {COLUMNS} FROM check_ins
        WHERE {HERE} AND annulled_at IS NULL AND method = 'proxy' AND NOT ({STANDS})
        """  # noqa: S608 - conditions and columns of our own
    )
)


NOBODY = Sums()


class Horizon(NamedTuple):
    """The highest number that is committed, the oldest transaction that writes still, and our own, begun after it."""

    top: int
    oldest: int
    own: int


class Teller:
    """The check-ins of one stream's sitting, seen by who has the people below `own` for his."""

    def __init__(self, stream: int, own: Collection[int]) -> None:
        question = select(Sitting.activity_id, Sitting.id).join(Stream, Stream.sitting_id == Sitting.id)
        activity, sitting = db.session.execute(scoped(question, Stream.id == stream)).one()
        self._where = {"activity": activity, "sitting": sitting, "own": [str(node) for node in own]}
        self._kept = Sums()
        self._mark: int | None = None
        self._before: Horizon | None = None
        self._behind: int | None = None

    def read(self) -> Sums | None:
        """Those that stand now; None until the transactions that wrote at the first reading have ended."""
        mark = self._settled(Horizon(*db.session.execute(HORIZON).one()))
        db.session.rollback()
        if mark is None:
            return None
        if self._mark is None:
            self._mark, self._kept = mark, self._count(mark)
        rows = db.session.execute(SINCE, {**self._where, "mark": self._mark, "next": mark}).all()
        db.session.rollback()
        kinds = {kind: summed(row for row in rows if row.kind == kind) for kind in ("kept", "new", "gone")}
        self._mark, self._kept = mark, self._kept.changed(by=kinds["kept"], less=NOBODY)
        return self._kept.changed(by=kinds["new"], less=kinds["gone"])

    def recount(self) -> int:
        """Count anew what is kept; how many of its figures were wrong."""
        if self._mark is None:
            return 0
        kept, self._kept = self._kept, self._count(self._mark)
        return kept.differing(self._kept)

    def _count(self, mark: int) -> Sums:
        rows = db.session.execute(UP_TO, {**self._where, "mark": mark}).all()
        db.session.rollback()
        return summed(rows)

    def _settled(self, now: Horizon) -> int | None:
        """The mark: the top of a former reading, once all have ended that wrote at the reading after it.

        Not at that reading itself: a row has its number a moment before its writer has a transaction to be seen by.
        """
        if self._before is None:
            self._before = now
        elif self._behind is None:
            self._behind = now.own
        elif self._behind < now.oldest:
            settled, self._before, self._behind = self._before.top, now, None
            return settled
        return self._mark


def summed(rows: Iterable[Row[Any]]) -> Sums:
    """Rows of SUMS, every node with all below it."""
    sums = Sums()
    for row in rows:
        if row.organisation_path is not None:
            sums.homes.update(dict.fromkeys(map(int, nodes(row.organisation_path)), row.people))
        elif row.place_path is not None:
            for places in (sums.places,) if row.mine else (sums.places, sums.others_places):
                places.update(dict.fromkeys(nodes(row.place_path), row.people))
        else:
            for methods in (sums.methods,) if row.mine else (sums.methods, sums.others_methods):
                methods[row.method] += row.people
    return sums


def nodes(path: str) -> list[str]:
    """The nodes of a path."""
    return path.split(".") if path else []
