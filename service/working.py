"""The loop of `chunshui worker`: the rooms' periodic tasks, each in a thread of its own.

A slow task delays no other; a failing one is logged and tried again at its next tick, and nothing that it does
ends the process. PostgreSQL or Valkey being away is said once, and once more when they are back.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
import structlog
from flask import Flask
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0
ENDINGS = {signal.SIGTERM, signal.SIGINT}
AWAY = (OperationalError, InterfaceError, PoolTimeout, redis.ConnectionError, redis.TimeoutError)


@dataclass(frozen=True)
class Task:
    """Something to do every `seconds`, counted from start to start; never twice at once in one worker.

    `run` gets the application, within its context. A run that may take long looks at
    `app.extensions["stopping"]`, an Event, and returns soon after it is set.
    """

    name: str
    seconds: float
    run: Callable[[Flask], object]


def run(app: Flask, tasks: Sequence[Task]) -> None:
    """Work until SIGTERM or SIGINT, then return within seconds. For the main thread."""
    stopping = threading.Event()
    # Waited for, not handled: a handler that sets the event hangs for ever if a second signal interrupts the first.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    threading.Thread(target=_await_signal, args=(stopping,), daemon=True).start()
    work(app, tasks, stopping)


def _await_signal(stopping: threading.Event) -> None:
    signal.sigwait(ENDINGS)
    stopping.set()


def work(app: Flask, tasks: Sequence[Task], stopping: threading.Event) -> None:
    """Work until `stopping` is set; what then still runs after `STOP_SECONDS` is left behind, and named."""
    app.extensions["stopping"] = stopping
    threads = [
        threading.Thread(target=_repeat, args=(app, task, stopping), name=task.name, daemon=True) for task in tasks
    ]
    for thread in threads:
        thread.start()
    log.info("working", tasks=[task.name for task in tasks])
    stopping.wait()
    late = _join(threads)
    log.info("stopped", still_running=late)


def _join(threads: Sequence[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in threads if thread.is_alive()]


def _repeat(app: Flask, task: Task, stopping: threading.Event) -> None:
    health = Health(task.name)
    due = time.monotonic()
    while not stopping.is_set():
        _once(app, task, health)
        # Ticks that a long run missed are not made up for.
        due = max(due + task.seconds, time.monotonic())
        stopping.wait(due - time.monotonic())


def _once(app: Flask, task: Task, health: "Health") -> None:
    try:
        with app.app_context():
            task.run(app)
    except Exception as error:
        health.failed(error)
    else:
        health.succeeded()


class Health:
    """Says when a task begins to fail, when it fails differently and when it is well again; not every tick."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._trouble = ""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """A run ended with `error`."""
        self._failures += 1
        trouble = _kind(error)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble == "away":
            log.warning("task waits for a service that is away", task=self._name, error=type(error).__name__)
        else:
            log.error("task failed", task=self._name, exc_info=error)

    def succeeded(self) -> None:
        """A run ended well."""
        if self._failures:
            log.info("task is well again", task=self._name, failures=self._failures)
        self._trouble, self._failures = "", 0


def _kind(error: Exception) -> str:
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    return "away" if gone or isinstance(error, AWAY) else f"{type(error).__name__}: {error}"
