"""What rooms hold of a person, and how they forget it.

`app.py` lists the rooms' holdings in `app.extensions["holdings"]`, so that the org room can show and erase all of it
and import no room to its right. What counts keep needing stays, without the person: see `STAND_IN`.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import Column, ColumnElement, LargeBinary, Table, select

from service.clock import iso
from service.extensions import db
from service.labels import highest
from service.scope import scoped

# A number below zero in the place of a member's. The salt is made for one activity and thrown away: within the
# activity the same person stays one person, so that every count adds up; elsewhere, and back, nothing leads.
STAND_IN = """-1 - CAST(CAST('x' || substr(encode(sha256(convert_to(CAST(:salt AS text) || ':' ||
    CAST(member_id AS text), 'UTF8')), 'hex'), 1, 15) AS bit(60)) AS bigint)"""

Rows = list[dict[str, Any]]
Salts = Mapping[int, str]
# Takes a member, or None for everybody; activities that ended before a moment; and a salt for each activity.
Unname = Callable[[int | None, datetime, Salts], int]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one room holds of a person.

    `columns` name the member in its tables. `forget` removes what is the person's own, `unname` takes the person out
    of what has to stay; both work in the caller's transaction and may be repeated.
    """

    room: str
    columns: Sequence[Any]
    forget: Callable[[int, datetime], None] | None = None
    unname: Unname | None = None

    @property
    def members(self) -> list[Column[Any]]:
        """The columns that name the member."""
        return [column.property.columns[0] for column in self.columns]


def holdings() -> list[Holding]:
    """What each room holds."""
    found: list[Holding] = current_app.extensions["holdings"]()
    return found


def salts() -> Salts:
    """A salt for each activity that is asked for, known to nobody afterwards."""
    return defaultdict(lambda: secrets.token_hex(32))


def held(member: int) -> dict[str, Rows]:
    """Everything that is held of a member, by table: all columns but hashes, ciphertexts and keys."""
    columns = [column for holding in holdings() for column in holding.members]
    return {column.table.name: rows(column.table, column == member) for column in columns}


def label() -> str:
    """The label of what `held` gives."""
    tables = [column.table for holding in holdings() for column in holding.members]
    return highest(column for table in tables for column in shown(table))


def rows(table: Table, whose: ColumnElement[bool]) -> Rows:
    """Rows of a table as JSON."""
    found = db.session.execute(scoped(select(*shown(table)), whose).order_by(*table.primary_key.columns))
    return [{name: plain(value) for name, value in row._mapping.items()} for row in found]


def shown(table: Table) -> Iterable[Column[Any]]:
    """The columns that can be shown."""
    return [column for column in table.columns if not isinstance(column.type, LargeBinary)]


def plain(value: Any) -> Any:
    """A value of a column as JSON knows it."""
    if isinstance(value, datetime):
        return iso(value)
    return str(value) if isinstance(value, date | UUID) else value
