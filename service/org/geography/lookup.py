"""Divisions as of a day: by code, by parent, and by name within a context.

A name alone is never looked up: two other places are called 茨竹乡. Whoever asks says below which division or at which
level, and gets every candidate; that there is one only is for him to see.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from service.errors import ServiceError
from service.extensions import db

MOST = 500


class Place(NamedTuple):
    """A division as it was on a day, under its name and parent of that day."""

    code: str
    name: str
    level: str
    parent_code: str | None
    parent_name: str | None
    valid_from: date | None
    valid_to: date | None
    successor_code: str | None


# What held on a day is what the first change after it calls former, else what is stored.
DATED = """
WITH renamed AS (
    SELECT DISTINCT ON (code) code, former_name FROM division_changes
    WHERE kind = 'renamed' AND effective_on > :day ORDER BY code, effective_on
), moved AS (
    SELECT DISTINCT ON (code) code, former_parent_code FROM division_changes
    WHERE kind = 'moved' AND effective_on > :day ORDER BY code, effective_on
)
SELECT d.code, coalesce(r.former_name, d.name), d.level, p.code, coalesce(pr.former_name, p.name), d.valid_from,
       d.valid_to, d.successor_code
FROM divisions d LEFT JOIN renamed r ON r.code = d.code LEFT JOIN moved m ON m.code = d.code
LEFT JOIN divisions p ON p.code = CASE WHEN m.code IS NULL THEN d.parent_code ELSE m.former_parent_code END
LEFT JOIN renamed pr ON pr.code = p.code
WHERE (d.valid_from IS NULL OR d.valid_from <= :day) AND (d.valid_to IS NULL OR d.valid_to >= :day) AND {which}
ORDER BY d.code LIMIT :most
"""
NAMED = """
d.code IN (
    SELECT code FROM divisions WHERE name = :name UNION SELECT code FROM division_aliases WHERE alias = :name
    UNION SELECT code FROM division_changes WHERE former_name = :name)
AND (CAST(:level AS text) IS NULL OR d.level = :level)
"""
# Below a division by the paths of today, or by a parent that it has left since.
BELOW = """
AND EXISTS (
    SELECT FROM divisions above WHERE above.code = :parent AND (
        (d.path > above.path AND d.path < above.path || '/') OR EXISTS (
            SELECT FROM moved JOIN divisions former ON former.code = moved.former_parent_code
            WHERE moved.code = d.code AND former.path >= above.path AND former.path < above.path || '/')))
"""
BY_CODE = text(DATED.format(which="d.code = ANY(:codes)"))
BY_PARENT = text(DATED.format(which="(p.code = :parent OR (CAST(:parent AS text) IS NULL AND p.code IS NULL))"))
BY_NAME = text(DATED.format(which=NAMED))
BY_NAME_BELOW = text(DATED.format(which=NAMED + BELOW))


def by_codes(codes: Sequence[str], day: date) -> list[Place]:
    """Those of `codes` that were divisions on `day`."""
    return _places(db.session.execute(BY_CODE, {"codes": list(codes), "day": day, "most": len(codes)}).all())


def by_code(code: str, day: date) -> Place:
    """The division as it was on `day`; ServiceError division_unknown if it was not."""
    found = by_codes([code], day)
    if not found:
        raise ServiceError("division_unknown")
    return found[0]


def children(parent: str | None, day: date) -> list[Place]:
    """The divisions directly below `parent` on `day`; the provinces without one."""
    return _places(db.session.execute(BY_PARENT, {"parent": parent, "day": day, "most": MOST}).all())


def find(name: str, *, day: date, parent: str | None = None, level: str | None = None) -> list[Place]:
    """Every division of `day` that is or was written `name` below `parent`, or at `level`, or both.

    ServiceError lookup_context if neither is given. Aliases and former names count.
    """
    if parent is None and level is None:
        raise ServiceError("lookup_context")
    question = BY_NAME_BELOW if parent else BY_NAME
    values = {"name": name, "level": level, "parent": parent, "day": day, "most": MOST}
    return _places(db.session.execute(question, values).all())


def _places(rows: Sequence[Row[Any]]) -> list[Place]:
    return [Place._make(row) for row in rows]
