"""The loop of `chunshui worker`: the rooms' periodic tasks, each in a thread of its own.

A slow task delays no other; a failing one is logged and tried again at its next tick, and nothing that it does
ends the process. PostgreSQL or Valkey being away is said once, and once more when they are back. The worker is ready
while every task succeeds within its patience.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import redis
import sqlalchemy
import structlog
from flask import Flask
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service import metrics, probes, valkey
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.listening import Answer, Listener

log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0
PATIENCE_INTERVALS, PATIENCE_SECONDS = 5, 30.0
RUN_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
ENDINGS = {signal.SIGTERM, signal.SIGINT}
AWAY = (OperationalError, InterfaceError, PoolTimeout, redis.ConnectionError, redis.TimeoutError)


@dataclass(frozen=True)
class Task:
    """Something to do every `seconds`, counted from start to start; never twice at once in one worker.

    `run` gets the application, within its context. A run that may take long looks at
    `app.extensions["stopping"]`, an Event, and returns soon after it is set. A worker in which none succeeded for
    `patience` seconds is not ready.
    """

    name: str
    seconds: float
    run: Callable[[Flask], object]
    patience: float | None = None

    def late(self, seconds: float) -> bool:
        """Whether that is too long since a run succeeded; five intervals, half a minute at least, if not said."""
        patience = max(self.seconds * PATIENCE_INTERVALS, PATIENCE_SECONDS) if self.patience is None else self.patience
        return seconds > patience


def run(app: Flask, crew: "Crew", config: Config | None = None) -> None:
    """Work until SIGTERM or SIGINT, then return within seconds; with settings, answer probes. For the main thread."""
    stopping = threading.Event()
    # Waited for, not handled: a handler that sets the event hangs for ever if a second signal interrupts the first.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    threading.Thread(target=_await_signal, args=(stopping,), daemon=True).start()
    if config is not None:
        listener = Listener(
            config.worker_host, config.worker_port, answer=crew.answering(config), language=config.default_language
        )
        listener.open(stopping)
    work(app, crew, stopping)


def _await_signal(stopping: threading.Event) -> None:
    signal.sigwait(ENDINGS)
    stopping.set()


def work(app: Flask, crew: "Crew", stopping: threading.Event) -> None:
    """Work until `stopping` is set; what then still runs after `STOP_SECONDS` is left behind, and named."""
    app.extensions["stopping"] = stopping
    threads = [
        threading.Thread(target=_repeat, args=(app, health, stopping), name=health.task.name, daemon=True)
        for health in crew.healths
    ]
    for thread in threads:
        thread.start()
    log.info("working", tasks=[thread.name for thread in threads])
    stopping.wait()
    late = _join(threads)
    log.info("stopped", still_running=late)


def _join(threads: Sequence[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in threads if thread.is_alive()]


def _repeat(app: Flask, health: "Health", stopping: threading.Event) -> None:
    due = time.monotonic()
    while not stopping.is_set():
        _once(app, health)
        # Ticks that a long run missed are not made up for.
        due = max(due + health.task.seconds, time.monotonic())
        stopping.wait(due - time.monotonic())


def _once(app: Flask, health: "Health") -> None:
    try:
        with health.numbers.timed(health.task.name), app.app_context():
            health.task.run(app)
    except Exception as error:
        health.failed(error)
    else:
        health.succeeded()


class Numbers:
    """The metrics of a worker."""

    def __init__(self, board: metrics.Board) -> None:
        self._runs = board.histogram("task_seconds", "How long runs of a task took.", ["task"], RUN_SECONDS)
        self._failures = board.counter("task_failures", "Runs of a task that failed.", ["task"])
        self._succeeded = board.gauge(
            "task_succeeded_timestamp_seconds", "When a run last succeeded, in Unix time.", labels=["task"]
        )

    def timed(self, task: str) -> AbstractContextManager[object]:
        """Measure a run."""
        return self._runs.labels(task).time()

    def failed(self, task: str) -> None:
        """A run failed."""
        self._failures.labels(task).inc()

    def succeeded(self, task: str) -> None:
        """A run succeeded."""
        self._succeeded.labels(task).set_to_current_time()


class Health:
    """Says when a task begins to fail, when it fails differently and when it is well again; not every tick."""

    def __init__(self, task: Task, numbers: Numbers) -> None:
        self.task = task
        self.numbers = numbers
        self._trouble = ""
        self._failures = 0
        self._succeeded = False
        self._since = time.monotonic()  # the last success; until there is one, the start

    def failed(self, error: Exception) -> None:
        """A run ended with `error`."""
        self._failures += 1
        self.numbers.failed(self.task.name)
        trouble = _kind(error)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble == "away":
            log.warning("task waits for a service that is away", task=self.task.name, error=type(error).__name__)
        else:
            log.error("task failed", task=self.task.name, exc_info=error)

    def succeeded(self) -> None:
        """A run ended well."""
        self.numbers.succeeded(self.task.name)
        if self._failures:
            log.info("task is well again", task=self.task.name, failures=self._failures)
        self._trouble, self._failures = "", 0
        self._succeeded, self._since = True, time.monotonic()

    def report(self, now: float) -> dict[str, Any]:
        """Seconds since it succeeded, how often it failed since, and whether that is too long."""
        age = now - self._since
        late = self.task.late(age) or (self._failures > 0 and not self._succeeded)
        return {"age": round(age, 1), "failures": self._failures, "late": late}


def look_at_services(board: metrics.Board) -> None:
    """Tell whether PostgreSQL and Valkey answer; within an application's context."""
    board.vitals.database.set(answers(lambda: db.session.execute(sqlalchemy.text("SELECT 1"))))
    board.vitals.valkey.set(answers(lambda: valkey.client().exists("live")))


def answers(ask: Callable[[], object]) -> bool:
    """Whether a service answers."""
    try:
        ask()
    except (DBAPIError, PoolTimeout, redis.RedisError):
        return False
    return True


class Crew:
    """The tasks of a worker, their health and its metrics."""

    def __init__(self, tasks: Sequence[Task], board: metrics.Board) -> None:
        self.board = board
        numbers = Numbers(board)
        self.healths = [Health(task, numbers) for task in tasks]

    def readiness(self) -> dict[str, Any]:
        """That every task succeeds; ServiceError naming those that do not."""
        now = time.monotonic()
        tasks = {health.task.name: health.report(now) for health in self.healths}
        if late := [name for name, report in tasks.items() if report["late"]]:
            raise ServiceError("not_ready", reason="tasks", late=late, tasks=tasks)
        return {"status": "ready", "tasks": tasks}

    def answering(self, config: Config) -> Answer:
        """What answers probes."""

        def answer(path: str, authorization: str) -> probes.Page | None:
            return probes.page(
                path, authorization, readiness=self.readiness, board=self.board, token=config.metrics_token
            )

        return answer


def _kind(error: Exception) -> str:
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    return "away" if gone or isinstance(error, AWAY) else f"{type(error).__name__}: {error}"
