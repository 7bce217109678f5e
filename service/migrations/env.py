"""Runs the migrations on the current application's database, in one transaction, one runner at a time."""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import text

LOCK = 0x63687368  # any number, the same on every machine: two `db upgrade` at once run one after the other

database = current_app.extensions["migrate"].db


def keep(_object: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Never propose to drop what no model knows."""
    return not (kind == "table" and reflected and compare_to is None)


with database.engine.connect() as connection:
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text("SET lock_timeout = 0"))
    context.configure(connection=connection, target_metadata=database.metadata, include_object=keep, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
    connection.commit()
