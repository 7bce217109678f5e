"""Administrative divisions: loading them from files.

Loading twice changes nothing; a later file replaces names and parents. What it does not name stays, and so does a
division that an administrator has changed (`service.org.geography.changes`).
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from service.extensions import db
from service.org.geography.paths import follow
from service.org.geography.sets import load_border
from service.org.models import LEVELS, Division

DATA = Path(__file__).parent / "data"
# How articles and people write what the register writes otherwise.
ALIASES = (("513332207", "呷依乡"),)

COLUMNS = ("code", "name", "level", "parent_code", "path", "valid_from", "valid_to", "successor_code")
STAGE = """
CREATE TEMPORARY TABLE staged (code text, name text, level text, parent_code text, path text, valid_from date,
    valid_to date, successor_code text) ON COMMIT DROP
"""
MERGE = """
INSERT INTO divisions SELECT * FROM staged
ON CONFLICT (code) DO UPDATE SET name = excluded.name, level = excluded.level, parent_code = excluded.parent_code,
    path = excluded.path, valid_from = coalesce(excluded.valid_from, divisions.valid_from),
    valid_to = excluded.valid_to, successor_code = excluded.successor_code
WHERE divisions IS DISTINCT FROM excluded
    AND NOT EXISTS (SELECT FROM division_changes changed WHERE changed.code = divisions.code)
"""


class DivisionsError(ValueError):
    """A file of divisions that cannot be used; the message says which line and why."""


def import_shipped() -> int:
    """Load the divisions, the abolished ones, the aliases and the border pairs that come with the package."""
    count = import_divisions(DATA / "divisions.csv")
    count += import_divisions(DATA / "historical_divisions.csv")
    db.session.execute(
        text("INSERT INTO division_aliases (code, alias) VALUES (:code, :alias) ON CONFLICT DO NOTHING"),
        [{"code": code, "alias": alias} for code, alias in ALIASES],
    )
    db.session.execute(
        text("INSERT INTO county_borders VALUES (:county, :neighbour) ON CONFLICT DO NOTHING"),
        [
            {"county": row["sichuan_county_code"], "neighbour": row["neighbour_county_code"]}
            for row in read(DATA / "border_counties.csv")
        ],
    )
    load_border()
    db.session.commit()
    return count


def import_divisions(file: Path) -> int:
    """Load a CSV of code, name, level, parent_code (and validity, successor); how many rows it has. Commits."""
    rows = list(read(file))
    check(rows)
    db.session.execute(text("SET LOCAL statement_timeout = '5min'"))
    staged = with_paths(rows, known_paths(rows))
    db.session.execute(text(STAGE))
    driver: Any = db.session.connection().connection.driver_connection
    with driver.cursor().copy("COPY staged FROM STDIN") as copy:
        for row in staged:
            copy.write_row(row)
    db.session.execute(text(MERGE))
    follow()
    db.session.commit()
    return len(staged)


def check(rows: Sequence[Mapping[str, str]]) -> None:
    """DivisionsError, naming the line, if a row cannot be a division."""
    if not rows:
        raise DivisionsError("no rows: the file needs a header line and divisions below it")
    for line, row in enumerate(rows, 2):
        code, level = row.get("code") or "", row.get("level")
        if not (code.isascii() and code.isdigit() and row.get("name") and level in LEVELS):
            raise DivisionsError(f"line {line}: needs a numeric code, a name and a level of {', '.join(LEVELS)}")
        try:
            [date.fromisoformat(row[column]) for column in ("valid_from", "valid_to") if row.get(column)]
        except ValueError as error:
            raise DivisionsError(f"line {line}: {error}") from None


def read(file: Path) -> Iterable[dict[str, str]]:
    """The rows of a CSV file with a header line."""
    with file.open("r", encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines)


def known_paths(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The paths of stored divisions that `rows` hang under."""
    parents = {row.get("parent_code") for row in rows} - {"", None}
    found = db.session.execute(select(Division.code, Division.path).where(Division.code.in_(parents)))
    return {row.code: row.path for row in found}


def with_paths(rows: Iterable[Mapping[str, str]], known: Mapping[str, str]) -> list[tuple[str | None, ...]]:
    """The rows in the table's columns, each path led through the parents, in the file or already stored."""
    by_code = {row["code"]: row for row in rows}
    paths: dict[str, str] = {}

    def path_of(code: str, depth: int) -> str:
        if code not in paths:
            if code not in by_code and code in known:
                return known[code]
            if code not in by_code or depth > 9:
                raise DivisionsError(f"division {code}: no such parent, or a circle")
            parent = by_code[code].get("parent_code")
            paths[code] = f"{path_of(parent, depth + 1)}.{code}" if parent else code
        return paths[code]

    for code in by_code:
        path_of(code, 0)
    return [
        tuple(paths[code] if column == "path" else row.get(column) or None for column in COLUMNS)
        for code, row in by_code.items()
    ]
