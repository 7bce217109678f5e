"""The worker's loop: each task in its own time, whatever the others do."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from flask import Flask, current_app
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service import working
from service.working import Health, Task, work
from tests.waiting import eventually


@contextmanager
def worker(*tasks: Task) -> Iterator[Flask]:
    """The loop at work on `tasks`, stopped at the end."""
    app, stopping = Flask("service"), threading.Event()
    thread = threading.Thread(target=work, args=(app, tasks, stopping))
    thread.start()
    try:
        yield app
    finally:
        stopping.set()
        thread.join(10)
    assert not thread.is_alive()


def every(seconds: float, run: Callable[[Flask], object], name: str = "task") -> Task:
    return Task(name, seconds, run)


def test_a_task_runs_again_and_again_within_its_context() -> None:
    apps = []
    with worker(every(0.01, lambda _: apps.append(current_app.name))):
        eventually(lambda: len(apps) >= 3)
    assert set(apps) == {"service"}


def test_a_slow_task_delays_no_other() -> None:
    ticks: list[int] = []
    release = threading.Event()
    slow = every(0.01, lambda _: release.wait(30), "slow")
    with worker(slow, every(0.01, lambda _: ticks.append(1), "quick")):
        eventually(lambda: len(ticks) >= 5)
        release.set()


def test_a_task_never_runs_twice_at_once() -> None:
    running, together = threading.Lock(), []
    runs = []

    def run(_: Flask) -> None:
        if not running.acquire(blocking=False):
            together.append(1)
            return
        runs.append(1)
        threading.Event().wait(0.02)
        running.release()

    with worker(every(0.001, run)):
        eventually(lambda: len(runs) >= 5)
    assert not together


def test_a_failing_task_is_tried_again() -> None:
    runs = []

    def fail_twice(_: Flask) -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("not yet")

    with worker(every(0.01, fail_twice)):
        eventually(lambda: len(runs) >= 5)


def test_stopping_is_told_to_whoever_looks() -> None:
    started, seen = threading.Event(), []

    def patient(app: Flask) -> None:
        started.set()
        seen.append(app.extensions["stopping"].wait(30))

    with worker(every(0.01, patient)):
        assert started.wait(10)
    assert seen == [True]


def test_a_task_that_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "STOP_SECONDS", 0.05)
    started, release = threading.Event(), threading.Event()

    def endless(_: Flask) -> None:
        started.set()
        release.wait(30)

    with capture_logs() as logs, worker(every(1, endless, "endless")):
        assert started.wait(10)
    release.set()
    assert logs[-1] == {"event": "stopped", "still_running": ["endless"], "log_level": "info"}


AWAY = [
    OperationalError("SELECT 1", {}, Exception("server closed the connection")),
    redis.ConnectionError("refused"),
    redis.TimeoutError("silent"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_a_service_away_is_said_once_and_once_that_it_is_back(error: Exception) -> None:
    health = Health("reap")
    with capture_logs() as logs:
        health.succeeded()
        for _ in range(5):
            health.failed(error)
        health.succeeded()
        health.succeeded()
    assert [(entry["log_level"], entry["task"]) for entry in logs] == [("warning", "reap"), ("info", "reap")]
    assert logs[1]["failures"] == 5


def test_the_same_error_is_said_once_and_another_again() -> None:
    health = Health("reap")
    with capture_logs() as logs:
        for error in (ValueError("a"), ValueError("a"), ValueError("b"), AWAY[0], AWAY[1]):
            health.failed(error)
    assert [entry["log_level"] for entry in logs] == ["error", "error", "warning"]


PROGRAM = """
from flask import Flask
from service.working import Task, run
run(Flask("service"), [Task("hello", 0.05, lambda app: print("tick", flush=True))])
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "tick":
            pass
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert rest.rstrip().endswith("ended")


def test_any_number_of_signals_end_it_once() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(2000):
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
