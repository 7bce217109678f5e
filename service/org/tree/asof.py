"""Questions about the tree as of a day, each one query over indexes, however many branches there are."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import TextClause, select, text

from service.extensions import db
from service.org.models import Organisation, covers
from service.org.tree.models import Affiliation


class Node(NamedTuple):
    """An organisation as it stood on a day: under its name of that day, below the path by which it was asked for."""

    id: int
    path: str
    home: bool
    name: str
    level: str
    code: str | None
    joint: str | None
    division_code: str | None

    @property
    def parent(self) -> int | None:
        """The organisation that its path leads through last."""
        above = self.path.split(".")[:-1]
        return int(above[-1]) if above else None


# The root's path comes from a subquery of its own, so that the rest is one range of the primary key and comes in its
# order. A joint body below the root twice is shown once: by its home, else by the first of its paths. Name and level
# are looked up row by row (LIMIT keeps them so): joined, the planner, who cannot know the range, reads whole tables.
NODES = """
WITH root AS MATERIALIZED (
    SELECT path, path || '/' AS beyond FROM organisation_paths
    WHERE organisation_id = :root AND during @> CAST(:day AS date) ORDER BY home DESC, path LIMIT 1
)
SELECT p.organisation_id, p.path, p.home, coalesce(former.name, o.name), o.level, o.code, o.joint, o.division_code
FROM {source} p
CROSS JOIN LATERAL (SELECT * FROM organisations WHERE id = p.organisation_id LIMIT 1) o
LEFT JOIN LATERAL (
    SELECT former_name AS name FROM organisation_changes c
    WHERE c.organisation_id = p.organisation_id AND c.kind = 'renamed' AND c.effective_on > :day
    ORDER BY c.effective_on, c.id LIMIT 1
) former ON true
WHERE {which} ORDER BY p.path LIMIT :most
"""
# A subquery and not a join gives the bounds: with these the planner takes an index, whatever it knows of the paths.
RANGE = (
    "{0}.during @> CAST(:day AS date) AND {0}.path >= (SELECT path FROM root) AND {0}.path < (SELECT beyond FROM root)"
)
ONCE = f"""
(p.home OR NOT EXISTS (
    SELECT FROM organisation_paths q WHERE q.organisation_id = p.organisation_id AND {RANGE.format("q")}
    AND (q.home OR q.path < p.path)))
"""
SUBTREE = text(NODES.format(source="organisation_paths", which=f"{RANGE.format('p')} AND p.path > :after AND {ONCE}"))
# Who has an affiliation with the root on that day, each by its path through the root's own.
BELOW = """
affiliations a CROSS JOIN LATERAL (
    SELECT * FROM organisation_paths WHERE path = (SELECT path FROM root) || '.' || a.organisation_id::text
    AND during @> CAST(:day AS date) LIMIT 1)
"""
CHILDREN = text(NODES.format(source=BELOW, which="a.parent_id = :root AND a.during @> CAST(:day AS date)"))
PATHS = text(
    """
    SELECT path FROM organisation_paths WHERE organisation_id = :number AND during @> CAST(:day AS date)
    ORDER BY home DESC, path
    """
)
ALL_MOST = 10**9


def subtree(root: int, day: date, *, after: str = "", most: int = ALL_MOST) -> Iterator[Node]:
    """The organisation and all below it on `day`, parents first; nothing if it did not exist then.

    A page starts behind the path `after`. Rows arrive as they are read.
    """
    return _nodes(SUBTREE, root=root, day=day, after=after, most=most)


def children(root: int, day: date) -> Iterator[Node]:
    """Who stood directly below the organisation on `day`, joint bodies among them."""
    return _nodes(CHILDREN, root=root, day=day, most=ALL_MOST)


def roots(day: date) -> list[int]:
    """Who stood at the top on `day`."""
    top = select(Affiliation.organisation_id).where(Affiliation.parent_id.is_(None), Affiliation.during.contains(day))
    return list(db.session.scalars(top.order_by(Affiliation.organisation_id)))


def paths(number: int, day: date) -> list[str]:
    """The organisation's paths on `day`, the home one first: one, and for a joint body one through each parent."""
    return list(db.session.scalars(PATHS, {"number": number, "day": day}))


def ancestors(number: int, day: date) -> set[int]:
    """All organisations above it on `day`, through whichever parent."""
    return {int(one) for path in paths(number, day) for one in path.split(".")[:-1]}


def lineages(number: int, day: date, *, within: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Its paths on `day` as numbers and today's names, but for those of a joint body that lead elsewhere.

    Only the parts of the tree at the paths `within` are somebody's to see, and the way to them.
    """
    ways = [path.split(".") for path in paths(number, day)]
    mine = [way for way in ways if len(ways) == 1 or any(covers(path, ".".join(way)) for path in within)]
    numbers = {int(one) for way in mine for one in way}
    rows = db.session.execute(select(Organisation.id, Organisation.name).where(Organisation.id.in_(numbers)))
    names = {row.id: row.name for row in rows}
    return [[{"id": int(one), "name": names[int(one)]} for one in way] for way in mine]


def node(number: int, day: date) -> Node | None:
    """The organisation as it stood on `day`."""
    return next(subtree(number, day, most=1), None)


def _nodes(question: TextClause, **values: object) -> Iterator[Node]:
    return (Node(*row) for row in db.session.execute(question, values))
