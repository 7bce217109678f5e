"""The gateway under gunicorn: the clients that members really use, signals, and a worker that dies."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
import uvloop

from tests.live.processes import Running, running
from tests.live.stage import Stage, member, token, until
from tests.waiting import eventually


class Listener:
    """python-socketio's client, and what it heard."""

    def __init__(self) -> None:
        self.client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2, randomization_factor=0)
        self.counts: list[dict[str, Any]] = []
        self.connected = 0
        self.refusals: list[Any] = []
        self.client.on("count", self.counts.append)
        self.client.on("connect", self._connect)
        self.client.on("connect_error", self.refusals.append)
        self.client.on("disconnect", self._close)

    def _connect(self) -> None:
        self.connected += 1

    def _close(self, _reason: str) -> None:
        # When the server closes first, the client forgets its socket without closing it.
        self.client.eio.ws.shutdown()

    def open(self, port: int, auth: dict[str, Any]) -> None:
        self.client.connect(f"http://127.0.0.1:{port}", transports=["websocket"], auth=auth, wait_timeout=5)


@contextmanager
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.client.disconnect()
    found.client.shutdown()
    if found.client.eio.ws is not None:
        found.client.eio.ws.shutdown()


def test_python_socketio_joins_hears_the_count_and_comes_back(stage: Stage, tmp_path: Path) -> None:
    stream = stage.stream()
    with running(stage.config(count_seconds=0.2), tmp_path) as gateway, listener() as ana:
        ana.open(gateway.port, {"token": token(1), "channel": "android"})
        assert ana.client.call("join", {"stream": stream}, timeout=5)["count"] == 1
        eventually(lambda: ana.counts and ana.counts[-1]["count"] == 1)
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: ana.connected == 2, within=15)
        assert ana.client.call("join", {"stream": stream}, timeout=5)["count"] == 1
        ana.client.disconnect()
        eventually(lambda: stage.online(stream) == 0)
        eventually(lambda: [row[3] for row in stage.stays(stream)] == ["owner"] * 2)


def test_python_socketio_is_told_why_it_is_rejected(stage: Stage, tmp_path: Path) -> None:
    with running(stage.config(), tmp_path) as gateway, listener() as ana:
        with pytest.raises(socketio.exceptions.ConnectionError):
            ana.open(gateway.port, {"token": "bad"})
        assert ana.refusals[0]["data"]["code"] == "token_invalid"


def test_quitting_twice_ends_once_at_once_and_leaves_nothing_over(stage: Stage, tmp_path: Path) -> None:
    async def story(gateway: Running) -> None:
        async with AsyncExitStack() as stack:
            for number in range(5):
                await (await stack.enter_async_context(member(gateway.port, number + 1))).join(stream)
            for pid in gateway.workers() * 2:
                os.kill(pid, signal.SIGQUIT)
            gateway.process.send_signal(signal.SIGQUIT)
            await until(lambda: gateway.process.poll() is not None, within=15)

    stream = stage.stream(grace=600)
    with running(stage.config(), tmp_path) as gateway:
        uvloop.run(story(gateway))
    assert gateway.process.returncode == 0
    assert stage.online(stream) == 0
    assert [row[3] for row in stage.stays(stream)] == ["owner"] * 5


def test_a_terminated_gateway_holds_its_members_for_their_grace(stage: Stage, tmp_path: Path) -> None:
    stream = stage.stream(grace=3)
    seen: list[tuple[int, int]] = []

    async def story(gateway: Running) -> None:
        async with AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(member(gateway.port, number + 1)) for number in range(5)]
            for one in crowd:
                await one.join(stream)
            gateway.process.send_signal(signal.SIGTERM)
            while gateway.process.poll() is None:
                figures = stage.snapshot(stream)
                seen.append((figures.online, figures.connections))
                await asyncio.sleep(0.05)
            assert {one.socket.close_code for one in crowd} == {1012}

    with running(stage.config(restart_spread_seconds=0.5), tmp_path) as gateway:
        uvloop.run(story(gateway))
    assert (5, 0) in seen
    assert stage.online(stream) == 0
    assert [row[3] for row in stage.stays(stream)] == ["owner"] * 5


def test_the_parents_death_ends_the_workers(stage: Stage, tmp_path: Path) -> None:
    with running(stage.config(), tmp_path) as gateway:
        [worker] = gateway.workers()
        gateway.process.kill()
        gateway.process.wait(5)
        eventually(lambda: not Path(f"/proc/{worker}").exists(), within=10)
