"""The web process's own account of itself, in one process and in several."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service import deadline
from service.config import Config
from service.extensions import db
from tests.live.stage import children
from tests.ports import free_port
from tests.scraping import TOKEN, Samples, ask, read, scrape
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def told(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "CHUNSHUI", replace(app.config["CHUNSHUI"], metrics_token=TOKEN))


def numbers(client: FlaskClient) -> Samples:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    return read(answer.text)


@pytest.mark.usefixtures("told")
def test_requests_are_counted_by_route_and_never_by_path(client: FlaskClient) -> None:
    def count(route: str, method: str, status: int) -> float:
        return numbers(client)("web_requests_total", route=route, method=method, status=status)

    route = next(rule.rule for rule in client.application.url_map.iter_rules() if rule.endpoint == "activity.show")
    status = client.get("/api/v1/activities/987654321").status_code
    before = count(route, "GET", status)
    client.get("/api/v1/activities/987654321")
    assert count(route, "GET", status) == before + 1
    before = count("unknown", "unknown", 404)
    client.open("/no/such/path/13800138000", method="BREW")
    assert count("unknown", "unknown", 404) == before + 1
    page = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert "987654321" not in page
    assert "13800138000" not in page


def test_metrics_need_the_setting_and_the_token(client: FlaskClient, request: pytest.FixtureRequest) -> None:
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
    request.getfixturevalue("told")
    for brought, code in (("", "token_missing"), ("Basic x", "token_missing"), ("Bearer é", "token_invalid")):
        answer = client.get("/metrics", headers={"Authorization": brought})
        assert (answer.status_code, answer.get_json()["code"]) == (401, code)


def test_ready_says_what_it_needs(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/readyz").get_json() == {"status": "ready", "database": "reachable"}
    monkeypatch.setattr("service.app.database_answers", bool)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert {"code": "not_ready", "reason": "database", "database": "away"}.items() <= answer.get_json().items()


def test_a_database_that_does_not_answer_in_time_is_away(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    import gevent

    monkeypatch.setattr(deadline, "READY_SECONDS", 0.05)
    assert deadline.database_answers()
    monkeypatch.setattr(db.session, "execute", lambda *_: gevent.sleep(30))
    assert not deadline.database_answers()


@contextmanager
def serving(config: Config, log: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Web as in production, with two workers."""
    port = free_port()
    settings = {field.name.upper(): str(getattr(config, field.name)) for field in fields(config)}
    environ = os.environ | settings | {"WEB_PORT": str(port), "WEB_WORKERS": "2"}
    arguments = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy/gunicorn/web.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=environ, cwd=ROOT, stdout=output, stderr=output)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), within=20)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def web(postgres_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = Config(database_url=postgres_url, redis_url=valkey_url, secret_key="k" * 32)
    with serving(config, tmp_path_factory.mktemp("web") / "web.log") as (base, _):
        yield base


def answers(url: str) -> bool:
    try:
        return ask(url)[0] == 200
    except OSError:
        return False


def told_by(base: str) -> Samples:
    """The metrics, once a worker answers: what a dead one was about to accept is reset, or waits for its successor."""

    def found() -> Samples | None:
        try:
            return scrape(base)
        except OSError:
            return None

    answer = eventually(found, within=30)
    assert answer is not None
    return answer


def test_workers_are_added_up_and_the_dead_keep_what_they_counted(config: Config, tmp_path: Path) -> None:
    health = {"route": "/healthz", "method": "GET", "status": 200}
    with serving(replace(config, metrics_token=TOKEN), tmp_path / "web.log") as (base, process):
        eventually(lambda: told_by(base)("workers") == 2)
        for _ in range(10):
            ask(f"{base}/healthz")
        assert told_by(base)("web_requests_total", **health) == 10
        [first, second] = children(process.pid)
        os.kill(first, signal.SIGKILL)
        killed = time.time()
        # The dead one's last sample would stay the oldest for ever.
        eventually(lambda: told_by(base)("sampled_timestamp_seconds") > killed)
        eventually(lambda: len({*children(process.pid)} - {first, second}) == 1 and told_by(base)("workers") == 2)
        found = told_by(base)
        assert (found("web_requests_total", **health), found("database_reachable")) == (10, 1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 100 + b"\r\n", 431),
    ],
)
def test_what_cannot_be_read_is_a_problem_too(web: str, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", int(web.rsplit(":", 1)[1])), timeout=5) as client:
        client.sendall(sent)
        head, _, body = b"".join(iter(lambda: client.recv(4096), b"")).partition(b"\r\n\r\n")
    assert (int(head.split()[1]), b"application/problem+json" in head) == (status, True)
    assert json.loads(body)["status"] == status
