"""Reading and writing affiliations, and drawing the dated paths that follow from them.

Writers take one lock for the whole tree first: changes are rare, and each may touch any part of it.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import Range

from service.extensions import db
from service.org.models import within
from service.org.tree.affiliations import FIRST, LAST, Tie
from service.org.tree.models import Affiliation, DatedPath

LOCK = text("SELECT pg_advisory_xact_lock(hashtext('organisation tree'))")
# A file of 150,000 rows takes longer than any request may, and much of that between two statements.
PATIENCE = text(
    """
    SELECT set_config('statement_timeout', '15min', true),
           set_config('idle_in_transaction_session_timeout', '15min', true)
    """
)
# Above this many one drawing of the whole tree is quicker than one for each.
FEW = 200
DRAW = """
WITH RECURSIVE line (organisation_id, path, during, home) AS (
    SELECT a.organisation_id, concat_ws('.', p.path, a.organisation_id::text) COLLATE "C",
           coalesce(a.during * p.during, a.during), a.home AND coalesce(p.home, true)
    FROM affiliations a LEFT JOIN organisation_paths p ON p.organisation_id = a.parent_id AND p.during && a.during
    WHERE {which} AND (a.parent_id IS NULL OR p.path IS NOT NULL)
    UNION ALL
    SELECT a.organisation_id, (line.path || '.' || a.organisation_id::text) COLLATE "C", line.during * a.during,
           line.home AND a.home
    FROM line JOIN affiliations a ON a.parent_id = line.organisation_id AND a.during && line.during
)
INSERT INTO organisation_paths (organisation_id, path, during, home) SELECT * FROM line
"""
DRAW_ALL = text(DRAW.format(which="a.parent_id IS NULL"))
DRAW_ONE = text(DRAW.format(which="a.organisation_id = :number"))
# What was added without a word on when it began has been there as long as its parent.
ADOPT = """
    INSERT INTO affiliations (organisation_id, parent_id, home, during)
    SELECT o.id, o.parent_id, true, daterange(:since, NULL) * coalesce(
        (SELECT range_merge(range_agg(p.during)) FROM affiliations p WHERE p.organisation_id = o.parent_id AND p.home),
        '(,)')
    FROM organisations o
    WHERE {which} AND NOT EXISTS (SELECT FROM affiliations a WHERE a.organisation_id = o.id)
    RETURNING organisation_id
    """
ADOPT_ALL = text(ADOPT.format(which="true"))
ADOPT_ONE = text(ADOPT.format(which="o.id = :number"))


def lock() -> None:
    """Wait until no other transaction changes the tree; held until the end of this one."""
    db.session.execute(LOCK)


def ties_of(number: int) -> list[Tie]:
    """The affiliations of an organisation, the earliest first."""
    question = select(Affiliation.parent_id, Affiliation.home, Affiliation.during)
    rows = db.session.execute(question.where(Affiliation.organisation_id == number).order_by(Affiliation.during))
    return [Tie(row.parent_id, row.home, *days(row.during)) for row in rows]


def homes_on(day: date) -> dict[int, int | None]:
    """The parent of every organisation on `day`."""
    question = select(Affiliation.organisation_id, Affiliation.parent_id).where(Affiliation.home)
    rows = db.session.execute(question.where(Affiliation.during.contains(day)))
    return {row.organisation_id: row.parent_id for row in rows}


def below(number: int, day: date) -> set[int]:
    """Who has `number` as a parent on `day` or later."""
    later = func.coalesce(func.upper(Affiliation.during), LAST) > day
    return set(db.session.scalars(select(Affiliation.organisation_id).where(Affiliation.parent_id == number, later)))


def rewrite(number: int, ties: Iterable[Tie]) -> None:
    """Let an organisation have exactly these affiliations; its paths are drawn by `redraw` afterwards."""
    db.session.execute(delete(Affiliation).where(Affiliation.organisation_id == number))
    rows = [as_row(number, tie) for tie in ties]
    if rows:
        db.session.execute(insert(Affiliation), rows)


def redraw(numbers: Iterable[int]) -> None:
    """Draw again every path that leads through these organisations, whose affiliations have changed.

    In any order: a path that was drawn through one that is still to come is erased and drawn again with that one.
    """
    changed = set(numbers)
    if len(changed) > FEW:
        db.session.execute(text("DELETE FROM organisation_paths"))
        db.session.execute(DRAW_ALL)
        return
    for number in changed:
        drawn = select(DatedPath.path).where(DatedPath.organisation_id == number).distinct()
        for path in db.session.scalars(drawn).all():
            db.session.execute(delete(DatedPath).where(within(DatedPath.path, path)))
        db.session.execute(DRAW_ONE, {"number": number})


def adopt_all(since: date | None = None) -> None:
    """Give organisations without affiliations the one that their `parent_id` says, since a day or with their parent.

    For whoever adds many at once; in the caller's transaction.
    """
    redraw(db.session.scalars(ADOPT_ALL, {"since": since}).all())


def adopt(number: int, since: date | None = None) -> None:
    """The same for one new organisation."""
    redraw(db.session.scalars(ADOPT_ONE, {"since": since, "number": number}).all())


def days(during: Range[date]) -> tuple[date, date]:
    """The two ends of a stored range."""
    return during.lower or FIRST, during.upper or LAST


def as_row(number: int, tie: Tie) -> dict[str, Any]:
    """An affiliation as the table wants it."""
    return {
        "organisation_id": number,
        "parent_id": tie.parent,
        "home": tie.home,
        "during": Range(None if tie.since == FIRST else tie.since, None if tie.until == LAST else tie.until),
    }
