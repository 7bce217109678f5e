"""The organisers' feed as it runs in production: gunicorn on gevent, and both official clients."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import pytest
import redis
import socketio

from service.app import create_core
from service.config import Config
from service.extensions import db
from service.live.figures import note_check_ins
from service.live.presence import Attribution, Holding, Reply
from service.live.scripts import Slot, Timing, call, slots_of
from service.org.access import COOKIE
from tests.factories import make_activity, make_organisation, make_organiser
from tests.live.processes import ROOT
from tests.live.stage import Stage
from tests.logs import unhandled
from tests.ports import free_port
from tests.waiting import eventually

TIMING = Timing(lease=60_000, stale=60_000)
# Of nobody by name: nobody told Valkey of it either.
CHECK_IN = """
    INSERT INTO check_ins (activity_id, sitting_id, member_id, reference, happened_at, organisation_path, place_path)
    SELECT s.activity_id, s.id, -1, 'reference-1', now(), '1.2', '54.5401'
    FROM sittings s JOIN streams ON streams.sitting_id = s.id WHERE streams.id = %s
"""


@dataclass
class Web:
    """A running web process and a stream to watch."""

    process: "subprocess.Popen[bytes]"
    url: str
    stream: int
    cookie: str

    def healthy(self) -> bool:
        try:
            with urlopen(f"{self.url}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def scene(config: Config) -> tuple[int, str]:
    """A stream and the cookie of its organiser."""
    with create_core(config).app_context():
        city = make_organisation(name="成都市", level="city")
        found = make_activity(lead=city).sittings[0].streams[0].id
        _, cookie = make_organiser(organisation=city)
        db.session.remove()
        db.engine.dispose()
    return found, f"{COOKIE}={cookie}"


@pytest.fixture
def web(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    """A web process that must end without having logged an exception."""
    port = free_port()
    config = stage.config(web_port=port)
    stream, cookie = scene(config)
    settings = {field.name.upper(): str(getattr(config, field.name)) for field in fields(config)}
    log = tmp_path / "web.log"
    arguments = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy/gunicorn/web.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=os.environ | settings, cwd=ROOT, stdout=output, stderr=output)
    found = Web(process, f"http://127.0.0.1:{port}", stream, cookie)
    try:
        eventually(found.healthy, within=30)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert unhandled(log) == []


def come(client: redis.Redis, stream: int, *members: int) -> None:
    """Let members join, as a gateway would."""
    holding = Holding(Slot(stream))
    for member in members:
        holding.join(member, Attribution("1.2", "54.5401", "h5", "hls"))
        holding.connect()
    batch = holding.batch()
    assert batch is not None
    arguments = batch.arguments(TIMING)[1:]
    assert Reply.parse(call(client, "flush", holding.slot, *arguments, boot=batch.boot)).status == "applied"


def test_python_socketio_watches_and_comes_back(web: Web, stage: Stage) -> None:
    told: list[dict[str, Any]] = []
    connected: list[bool] = []
    wall = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2, randomization_factor=0)
    wall.on("snapshot", told.append, namespace="/organisers")
    wall.on("connect", lambda: connected.append(True), namespace="/organisers")
    # When the server closes first, the client forgets its socket without closing it.
    wall.on("disconnect", lambda _reason: wall.eio.ws.shutdown(), namespace="/organisers")
    options = {"transports": ["websocket"], "namespaces": ["/organisers"], "wait_timeout": 10}
    wall.connect(web.url, headers={"Cookie": web.cookie}, **options)
    assert wall.call("watch", {"stream": web.stream}, namespace="/organisers", timeout=5) == {"ok": True}
    eventually(lambda: told and told[-1]["online"] == 0)
    with redis.Redis.from_url(stage.valkey.url) as client:
        come(client, web.stream, 1, 2)
        eventually(lambda: told[-1]["online"] == 2)
        note_check_ins(client, slots_of(web.stream, 1), [1])
        eventually(lambda: told[-1]["checked_in"] == 1)
    stage.sql(CHECK_IN, web.stream)
    eventually(lambda: (told[-1]["check_ins"]["total"], told[-1]["check_ins"]["basis"]) == (1, "exact"))
    web.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(connected) == 2, within=20)
    told.clear()
    assert wall.call("watch", {"stream": web.stream}, namespace="/organisers", timeout=5) == {"ok": True}
    eventually(lambda: told and told[-1]["online"] == 2)
    wall.disconnect()
    wall.shutdown()


def test_python_socketio_is_told_why_it_is_rejected(web: Web) -> None:
    refusals: list[Any] = []
    wall = socketio.Client(reconnection=False)
    wall.on("connect_error", refusals.append, namespace="/organisers")
    with pytest.raises(socketio.exceptions.ConnectionError):
        wall.connect(web.url, transports=["websocket"], namespaces=["/organisers"], wait_timeout=10)
    assert refusals[0]["data"]["code"] == "token_missing"
    assert refusals[0]["message"] == refusals[0]["data"]["title"]
    wall.shutdown()


class Page:
    """A running script and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.seen: list[tuple[str, Any]] = []

    def read(self, output: IO[str]) -> None:
        self.seen.extend(tuple(json.loads(line)) for line in output)

    def said(self, what: str) -> list[Any]:
        return [data for name, data in self.seen if name == what]


@contextmanager
def page(web: Web, cookie: str) -> Iterator[Page]:
    script = Path(__file__).with_name("wall.mjs")
    modules = str(ROOT / "web" / "node_modules")
    arguments = ["node", str(script), web.url, cookie, str(web.stream), modules]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        found = Page(process)
        reader = threading.Thread(target=found.read, args=(process.stdout,))
        reader.start()
        try:
            yield found
        finally:
            process.kill()
            reader.join()


def test_the_javascript_client_watches_and_comes_back(web: Web, stage: Stage) -> None:
    with page(web, web.cookie) as wall, redis.Redis.from_url(stage.valkey.url) as client:
        eventually(lambda: wall.said("snapshot") and wall.said("watching"))
        assert wall.said("watching") == [{"ok": True}]
        come(client, web.stream, 1, 2, 3)
        eventually(lambda: wall.said("snapshot")[-1]["online"] == 3)
        web.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(wall.said("watching")) == 2, within=20)
        eventually(lambda: wall.said("snapshot")[-1]["online"] == 3)


def test_the_javascript_client_is_told_why_it_is_rejected(web: Web) -> None:
    with page(web, f"{COOKIE}=nonsense") as wall:
        eventually(lambda: wall.process.poll() == 0)
        [refusal] = wall.said("connect_error")
        assert refusal["data"]["code"] == "token_invalid"
