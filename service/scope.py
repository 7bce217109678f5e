"""Scope in the query layer: who asks about people, or what is held for them, says how far the question reaches.

Rows of a model that is `Scoped` belong to some part of the tree or to one person. A statement that touches such a
model must have been given to `scoped`, with the condition that narrows it, or to `everything`, with the reason why it
need not be narrowed; a session refuses any other, so that one cannot be written by accident. Rows that a relationship
loads belong to a row that was found this way. SQL written as text is held to the same by a test, which looks for a
comment `scope:` in it.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Delete, Executable, Insert, Select, SelectBase, Table, Update, UpdateBase
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import visitors

OPTION = "chunshui_scope"

SCOPED_TABLES: set[str] = set()

Statement = TypeVar("Statement", bound=Select[*tuple[Any, ...]] | Update | Delete)


class Scoped:
    """Marks a model whose rows nobody may see without a scope."""

    def __init_subclass__(cls, **options: Any) -> None:
        SCOPED_TABLES.add(cls.__tablename__)  # type: ignore[attr-defined]
        super().__init_subclass__(**options)


class UnscopedError(RuntimeError):
    """A statement touches a scoped model and does not say how far it reaches: a defect."""


def scoped(statement: Statement, *conditions: ColumnElement[bool]) -> Statement:
    """`statement`, narrowed to what `conditions` let through."""
    if not conditions:
        raise UnscopedError("a scope is a condition")
    return statement.where(*conditions).execution_options(**{OPTION: True})  # type: ignore[return-value]


def everything(why: str, statement: Statement) -> Statement:
    """`statement` as it is, because of `why`."""
    return statement.execution_options(**reason(why))  # type: ignore[return-value]


def reason(why: str) -> dict[str, str]:
    """The same as execution options, for `session.get`."""
    return {OPTION: why}


def demand(state: ORMExecuteState) -> None:
    """The sessions' hook: UnscopedError for a statement on a scoped model that does not say how far it reaches."""
    if OPTION in state.execution_options or state.is_relationship_load or state.is_column_load:
        return
    for table in tables_of(state.statement):
        if table.name in SCOPED_TABLES:
            raise UnscopedError(f"a question about {table.name} does not say how far it reaches")


def tables_of(statement: Executable) -> Iterator[Table]:
    """The tables that `statement` asks about or changes, at any depth; not the one that rows are inserted into."""
    asked = statement.select if isinstance(statement, Insert) else statement
    if not isinstance(asked, SelectBase | UpdateBase):
        return
    for element in visitors.iterate(asked):
        table = element if isinstance(element, Table) else getattr(element, "table", None)
        if isinstance(table, Table):
            yield table
