"""A thread of a gateway worker beside its loop: jobs that may wait for a database, one at a time.

Promises: the loop never waits for a job, and hears of each one's end. A job that never ends holds up its own thread
only, which nobody ever joins.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Turns:
    """Does jobs in the order in which they come."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]]] = SimpleQueue()
        # A daemon: a frozen database must not keep the process from ending.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, job: Callable[[], Answer], done: Callable[[Answer], None]) -> None:
        """Queue `job`, which raises nothing; `done` gets its answer in the loop."""
        self._jobs.put((job, done))

    def _run(self) -> None:
        while True:
            job, done = self._jobs.get()
            answer = job()
            try:
                self._loop.call_soon_threadsafe(done, answer)
            except RuntimeError:  # the loop is closed: the process is ending
                return
