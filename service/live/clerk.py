"""The one thread of a gateway worker that talks to PostgreSQL, one job at a time.

Promises: the loop never waits for the database; every job's `done` is called in the loop, with None when the database
could not do it. A frozen server blocks this thread only, which nobody ever joins.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
import structlog

from service.live.turns import Turns

Answer = TypeVar("Answer")
Link = psycopg.Connection[tuple[Any, ...]]
Job = Callable[[Link], Answer]

log = structlog.get_logger(__name__)

_PATIENCE = "-c statement_timeout=4000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=15000"


class Clerk:
    """Runs jobs on one connection, which it opens again when it is lost."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._turns = Turns("clerk", loop)
        self._connection: Link | None = None
        self.failing = False

    def submit(self, job: Job[Answer], done: Callable[[Answer | None], None]) -> None:
        """Queue `job`; `done` gets its answer in the loop."""
        self._turns.submit(partial(self._try, job), done)

    def _try(self, job: Job[Answer]) -> Answer | None:
        try:
            answer = job(self._connected())
        except (psycopg.Error, OSError) as error:
            self._failed(error)
            return None
        if self.failing:
            self.failing = False
            log.warning("database is back")
        return answer

    def _connected(self) -> Link:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=2, options=_PATIENCE, tcp_user_timeout=3000
            )
        return self._connection

    def _failed(self, error: Exception) -> None:
        if not self.failing:
            self.failing = True
            log.warning("database unavailable", error=type(error).__name__)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
