"""The worker's loop: each task in its own time, whatever the others do."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from flask import Flask, current_app
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service import working
from service.config import Config
from service.errors import ServiceError
from service.listening import Listener
from service.metrics import Board
from service.working import Crew, Health, Task, work
from tests.ports import free_port
from tests.scraping import TOKEN, ask, read, scrape
from tests.waiting import eventually


@contextmanager
def worker(*tasks: Task) -> Iterator[Flask]:
    """The loop at work on `tasks`, stopped at the end."""
    app, stopping = Flask("service"), threading.Event()
    thread = threading.Thread(target=work, args=(app, Crew(tasks, Board("worker")), stopping))
    thread.start()
    try:
        yield app
    finally:
        stopping.set()
        thread.join(10)
    assert not thread.is_alive()


def every(seconds: float, run: Callable[[Flask], object], name: str = "task") -> Task:
    return Task(name, seconds, run)


def health_of(name: str) -> Health:
    [health] = Crew([every(1, lambda _: None, name)], Board("worker")).healths
    return health


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
    health = health_of("reap")
    with capture_logs() as logs:
        health.succeeded()
        for _ in range(5):
            health.failed(error)
        health.succeeded()
        health.succeeded()
    assert [(entry["log_level"], entry["task"]) for entry in logs] == [("warning", "reap"), ("info", "reap")]
    assert logs[1]["failures"] == 5


def test_the_same_error_is_said_once_and_another_again() -> None:
    health = health_of("reap")
    with capture_logs() as logs:
        for error in (ValueError("a"), ValueError("a"), ValueError("b"), AWAY[0], AWAY[1]):
            health.failed(error)
    assert [entry["log_level"] for entry in logs] == ["error", "error", "warning"]


PROGRAM = """
from flask import Flask
from service.metrics import Board
from service.working import Crew, Task, run
run(Flask("service"), Crew([Task("hello", 0.05, lambda app: print("tick", flush=True))], Board("worker")))
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


def test_a_worker_is_ready_while_its_tasks_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew([every(1, lambda _: None, "reap"), every(60, lambda _: None, "keep")], Board("worker"))
    reap, _ = crew.healths
    assert crew.readiness()["tasks"]["reap"] == {"age": 0.0, "failures": 0, "late": False}
    reap.failed(ValueError("at once"))
    with pytest.raises(ServiceError) as refused:
        crew.readiness()
    assert (refused.value.code, refused.value.details["late"]) == ("not_ready", ["reap"])
    reap.succeeded()
    reap.failed(ValueError("once"))
    assert crew.readiness()["tasks"]["reap"]["failures"] == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + working.PATIENCE_SECONDS + 1)
    with pytest.raises(ServiceError) as refused:
        crew.readiness()
    assert refused.value.details["late"] == ["reap"]


def test_runs_are_counted_by_task() -> None:
    crew = Crew([every(1, lambda _: None, "good"), every(1, lambda _: 1 / 0, "bad")], Board("worker"))
    for health in crew.healths:
        working._once(Flask("service"), health)
    found = read(crew.board.page().decode())
    assert [found("task_seconds_count", task=task) for task in ("good", "bad")] == [1, 1]
    assert [found("task_failures_total", task=task) for task in ("good", "bad")] == [0, 1]
    assert found("task_succeeded_timestamp_seconds", task="good") > 0


@contextmanager
def listening(port: int) -> Iterator[str]:
    crew, stopping = Crew([every(1, lambda _: None)], Board("worker")), threading.Event()
    config = Config(default_language="en", metrics_token=TOKEN)
    listener = Listener("127.0.0.1", port, answer=crew.answering(config), language="en")
    listener.open(stopping)
    yield f"http://127.0.0.1:{port}"
    stopping.set()
    listener.shutdown()
    listener.server_close()


def answered(url: str) -> tuple[int, object]:
    status, kind, body = ask(url)
    found = json.loads(body)
    return status, found["code"] if "problem" in kind else found


def test_probes_are_answered() -> None:
    with listening(free_port()) as url:
        eventually(lambda: listens(url))
        assert answered(f"{url}/healthz") == (200, {"status": "ok"})
        assert answered(f"{url}/readyz?x=1")[0] == 200
        assert scrape(url)("workers") == 1
        assert answered(f"{url}/metrics") == (401, "token_missing")
        assert answered(f"{url}/else") == (404, "not_found")


def listens(url: str) -> bool:
    try:
        return ask(f"{url}/healthz")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"POST /healthz HTTP/1.1\r\n\r\n", b"405"), (b"what\r\n\r\n", b"400"), (b"GET /" + b"x" * 70_000, b"400")],
)
def test_whatever_is_sent_the_answer_is_a_problem(request_: bytes, status: bytes) -> None:
    with listening(free_port()) as url:
        eventually(lambda: listens(url))
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5) as client:
            client.sendall(request_)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head.split()[1], b"application/problem+json" in head) == (status, True)
    assert json.loads(body)["status"] == int(status)


def test_a_port_that_another_has_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.listening.AGAIN_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        with capture_logs() as logs, listening(port) as url:
            eventually(lambda: logs)
            assert logs[0]["log_level"] == "error"
            other.close()
            eventually(lambda: listens(url))
