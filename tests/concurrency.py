"""Real threads on the real PostgreSQL, for rules that must hold when two come at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy
from flask import Flask

from service.extensions import db

T = TypeVar("T")


def at_once(app: Flask, work: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """What each of `work` returned or raised, all started together, each with a session of its own."""
    barrier = threading.Barrier(len(work))

    def run(one: Callable[[], T]) -> T | Exception:
        with app.app_context():
            db.session.execute(sqlalchemy.text("SELECT 1"))
            db.session.rollback()
            barrier.wait()
            try:
                return one()
            except Exception as error:
                db.session.rollback()
                return error

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(run, work))


@contextmanager
def really_committed() -> Iterator[None]:
    """Within it commits are real, without the test's outer transaction; afterwards every table is empty again."""
    try:
        yield
    finally:
        db.session.remove()
        names = ", ".join(table.name for table in db.metadata.sorted_tables)
        with db.engine.begin() as connection:
            # The audit log's triggers refuse to empty it; only a superuser may pass them by.
            connection.execute(sqlalchemy.text("SET LOCAL session_replication_role = replica"))
            connection.execute(sqlalchemy.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
