"""A gateway with servers of its own, and members that talk to it through an independent WebSocket client."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import redis
from flask_migrate import upgrade
from websockets.asyncio.client import ClientConnection, connect

from service import embedded
from service.app import create_core
from service.config import Config
from service.extensions import db as database
from service.live.errands import Handler
from service.live.figures import Snapshot, read_snapshot, reap, settle, tick
from service.live.gateway import Gateway
from service.live.scripts import Slot, Timing, slots_of
from service.tokens import issue_access

SECRET = "a secret that only the tests know, 32+"
QUICK = {
    "lease_seconds": 1.5,
    "renew_seconds": 0.3,
    "flush_seconds": 0.05,
    "count_seconds": 60.0,
    "stay_batch_seconds": 0.1,
    "deny_refresh_seconds": 60.0,
    "valkey_timeout_seconds": 0.5,
}


@dataclass
class Stage:
    """A private PostgreSQL and Valkey that a test may stop, freeze and empty."""

    postgres: embedded.Postgres
    valkey: embedded.Valkey

    def config(self, **settings: Any) -> Config:
        """Settings with short times."""
        config = Config(database_url=self.postgres.url, redis_url=self.valkey.url, secret_key=SECRET)
        return replace(config, **(QUICK | settings))

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def stream(
        self,
        *,
        opens: int = -60,
        closes: int = 3600,
        grace: int = 0,
        attendance: str = "open",
        invited: str = "",
        shards: int = 1,
    ) -> int:
        """A new stream; its window in seconds from now, `invited` the path of the only invited organisation."""
        [[activity]] = self.sql(
            "INSERT INTO activities (kind, theme, attendance) VALUES ('themed_day', 'test', %s) RETURNING id",
            attendance,
        )
        if invited:
            [[organisation]] = self.sql(
                "INSERT INTO organisations (path, name, level) VALUES (%s, 'test', 'province')"
                " ON CONFLICT (path) DO UPDATE SET name = excluded.name RETURNING id",
                invited,
            )
            self.sql("INSERT INTO activity_invitations VALUES (%s, %s)", activity, organisation)
        [[sitting]] = self.sql(
            "INSERT INTO sittings (activity_id, starts_at, ends_at, checkin_opens_at, checkin_closes_at)"
            " VALUES (%s, now(), now() + interval '1 h', now(), now() + interval '1 h') RETURNING id",
            activity,
        )
        [[stream]] = self.sql(
            "INSERT INTO streams (sitting_id, title, grace_seconds, shards, opens_at, closes_at) SELECT"
            " %s, 'test', %s, %s, now() + make_interval(secs => %s), now() + make_interval(secs => %s) RETURNING id",
            sitting, grace, shards, opens, closes,
        )  # fmt: skip
        return int(stream)

    def stays(self, stream: int) -> list[tuple[Any, ...]]:
        """(member, sequence, seconds, closed_by) of every stay in `stream`, in order of joining."""
        return self.sql(
            "SELECT member_id, sequence, extract(epoch FROM left_at - joined_at)::float8, closed_by FROM stays"
            " WHERE stream_id = %s ORDER BY joined_at",
            stream,
        )

    def online(self, stream: int) -> int:
        """The count in Valkey."""
        return self.snapshot(stream).online

    def snapshot(self, stream: int) -> Snapshot:
        """All figures in Valkey."""
        with redis.Redis.from_url(self.valkey.url) as client:
            return read_snapshot(client, slots_of(stream, 1), timing=Timing.of(self.config()))

    def frozen_database(self) -> AbstractContextManager[None]:
        """PostgreSQL does not answer, and does not refuse either: every process of it is stopped."""
        assert self.postgres.process
        return stopped(self.postgres.process.pid, *children(self.postgres.process.pid))

    def frozen_valkey(self) -> AbstractContextManager[None]:
        """Valkey does not answer, and does not refuse either."""
        assert self.valkey.process
        return stopped(self.valkey.process.pid)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes stand still for the length of the block."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """The processes that `pid` started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def staged(folder: Path, settings: dict[str, str] = VOLATILE) -> Iterator[Stage]:
    """Start the servers, PostgreSQL with these `settings`, and make the schema."""
    stage = Stage(embedded.Postgres(folder, settings), embedded.Valkey(folder))
    stage.postgres.start()
    stage.valkey.start()
    with create_core(stage.config()).app_context():
        upgrade(directory=str(Path(embedded.__file__).parent / "migrations"))
        database.engine.dispose()
    yield stage
    stage.valkey.stop()
    stage.postgres.stop()


def token(member: int, *, organisation: str = "1.2.3", place: str = "54.5401", session: int = 0, **kw: Any) -> str:
    """An access token."""
    settings: dict[str, Any] = {"now": datetime.now(UTC), "seconds": 3600} | kw
    return issue_access(SECRET, member=member, organisation=organisation, place=place, session=session, **settings)


@asynccontextmanager
async def serving(config: Config, handlers: Mapping[str, Handler] | None = None) -> AsyncIterator[tuple[Gateway, int]]:
    """A gateway in this process, and its port."""
    loop = asyncio.get_running_loop()
    gateway = Gateway(config, loop, handlers)
    await gateway.open()
    listener = socket.create_server(("127.0.0.1", 0))
    server = await gateway.listen(listener)
    try:
        yield gateway, listener.getsockname()[1]
    finally:
        server.close()
        await gateway.close(4.0)


class Member:
    """A member's client: plain packets over a WebSocket of the library `websockets`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.pushed: list[tuple[str, Any]] = []
        self._acks = 0

    async def receive(self) -> str:
        """The next packet that is not a ping; pings are answered."""
        while (packet := str(await asyncio.wait_for(self.socket.recv(), 10))) == "2":
            await self.socket.send("3")
        return packet

    async def ask(self, event: str, data: Any) -> Any:
        """Send an event and wait for its acknowledgement; events that come meanwhile are kept."""
        self._acks += 1
        prefix = f"43{self._acks}["
        await self.socket.send(f"42{self._acks}{json.dumps([event, data])}")
        while not (packet := await self.receive()).startswith(prefix):
            self.pushed.append(tuple(json.loads(packet[2:])))
        return json.loads(packet[len(prefix) - 1 :])[0]

    async def join(self, stream: int) -> Any:
        """Join and give the acknowledgement."""
        return await self.ask("join", {"stream": stream})

    async def next_event(self) -> tuple[str, Any]:
        """The next pushed event."""
        if self.pushed:
            return self.pushed.pop(0)
        name, data = json.loads((await self.receive())[2:])
        return name, data

    async def say(self, packet: str) -> None:
        """Send a raw packet."""
        await self.socket.send(packet)

    def vanish(self) -> None:
        """Break the connection without a word."""
        self.socket.transport.abort()


@asynccontextmanager
async def member(port: int, number: int, **claims: Any) -> AsyncIterator[Member]:
    """A connected member."""
    async with opened(port, {"token": token(number, **claims)}) as (client, answer):
        assert answer.startswith('40{"sid":'), answer
        yield client


@asynccontextmanager
async def opened(port: int, auth: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Member, str]]:
    """A client that has sent CONNECT, and the answer to it."""
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    async with connect(url, close_timeout=2, ping_interval=None, **options) as socket:
        client = Member(socket)
        assert (await client.receive()).startswith("0{")
        await client.say("40" + json.dumps(auth))
        yield client, await client.receive()


async def until(holds: Callable[[], object], within: float = 8.0) -> None:
    """Wait for a condition; it may block for a moment, although the gateway is in the same loop."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is awaited is in Valkey or PostgreSQL
            await asyncio.sleep(0.03)


@contextmanager
def keeping(stage: Stage, stream: int) -> Iterator[None]:
    """What the worker process does for a stream: settle what was lost, reap who is dead."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(stage, stream, over))
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(stage: Stage, stream: int, over: threading.Event) -> None:
    timing = Timing.of(stage.config())
    while not over.wait(0.1):
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(stage.valkey.url) as client:
            found = tick(client, Slot(stream), timing=timing, missed=1000)
            if found.rebuilding:
                settle(client, Slot(stream), epoch=found.epoch, lease=timing.lease)
            for boot in found.expired:
                while reap(client, Slot(stream), boot, timing=timing) > 0:
                    pass
