"""Organisations as a file that an import takes: the tree below one of them, or all of it, as of a day."""

from collections.abc import Iterator
from datetime import date
from typing import BinaryIO

from sqlalchemy import select

from service import sheets
from service.extensions import db
from service.org.models import Organisation, covers
from service.org.tree import asof
from service.org.tree.affiliations import home_on
from service.org.tree.files import BETWEEN, TITLES, key_of
from service.org.tree.paths import PATIENCE, ties_of


def export_organisations(target: BinaryIO, kind: str, *, below: int | None, day: date, scope: str = "") -> int:
    """Write a table of `kind` csv or xlsx, parents first; how many rows it has.

    Of a joint body's parents only those within `scope` are named, a path; "" is everywhere.
    """
    count = 0
    db.session.execute(PATIENCE)

    def counted() -> Iterator[tuple[str | None, ...]]:
        nonlocal count
        for row in rows([below] if below else asof.roots(day), day, scope):
            count += 1
            yield row

    sheets.write(target, kind, headings=TITLES, rows=counted())
    return count


def rows(roots: list[int], day: date, scope: str) -> Iterator[tuple[str | None, ...]]:
    """The rows below `roots`; a joint body is named once, with all its parents."""
    keys: dict[int, str] = {}
    shown: set[int] = set()
    for root in roots:
        for node in asof.subtree(root, day):
            keys[node.id] = key_of(node.code, node.id)
            if node.id not in shown:
                shown.add(node.id)
                parent, *others = parents(node, day, scope)
                cells = (keys[node.id], node.name, node.level, named(parent, keys), node.division_code, node.joint)
                yield (*cells, BETWEEN.join(named(one, keys) for one in others))


def parents(node: asof.Node, day: date, scope: str) -> list[int | None]:
    """The home of `node` on `day`, and of a joint body the other parents within `scope`."""
    if node.joint is None:
        return [node.parent]
    ties = ties_of(node.id)
    home = home_on(ties, day)
    others = [tie.parent for tie in ties if tie.parent and not tie.home and tie.since <= day < tie.until]
    seen = [one for one in others if not scope or any(covers(scope, path) for path in asof.paths(one, day))]
    return [home.parent if home else None, *seen]


def named(number: int | None, keys: dict[int, str]) -> str:
    """How the file names a parent, which may lie outside of it; "" for none."""
    if number is None:
        return ""
    if number not in keys:
        keys[number] = key_of(db.session.scalar(select(Organisation.code).where(Organisation.id == number)), number)
    return keys[number]
