"""Synthetic members before servers that are absent, silent, full or far from the protocol."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from service.live.rehearsal import crowd as crowding
from service.live.rehearsal.crowd import Crowd
from service.live.rehearsal.member import State
from service.live.rehearsal.plan import Candidate, Plan
from tests.live.stage import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    """A TCP server on a free port."""
    listening = await asyncio.start_server(handler, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


def plan_for(port: int, members: int = 1) -> Plan:
    candidates = tuple(Candidate(token="t") for _ in range(members))
    return Plan(gateway_url=f"http://127.0.0.1:{port}", stream=1, members=candidates)


async def first_error(port: int) -> Crowd:
    """A crowd of one whose first attempt has failed; it will not try again."""
    crowd = Crowd(plan_for(port))
    crowd.members[0].connect()
    await until(lambda: crowd.tally.errors)
    crowd.closing = True
    return crowd


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    crowd = uvloop.run(first_error(port))
    assert sum(crowd.tally.errors.values()) == 1
    assert crowd.asking == 0
    assert crowd.members[0].state is State.IDLE


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "http_503"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n", "http_101"),
        (b"", "connection_lost"),
    ],
)
def test_the_upgrade_fails(answer: bytes, error: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def story() -> Crowd:
        async with server(refuse) as port:
            return await first_error(port)

    assert uvloop.run(story()).tally.errors == {error: 1}


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "ANSWER_SECONDS", 0.0)

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def story() -> Crowd:
        async with server(be_silent) as port:
            crowd = Crowd(plan_for(port))
            crowd.members[0].connect()
            await asyncio.sleep(0.01)
            crowd.sweep()
            crowd.closing = True
            return crowd

    crowd = uvloop.run(story())
    assert crowd.tally.errors == {"no_answer": 1}
    assert crowd.asking == 0


def test_members_come_from_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "MEMBERS_PER_ADDRESS", 2)
    seen: list[str] = []

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    async def story() -> None:
        async with server(look) as port:
            crowd = Crowd(plan_for(port, 5), index=3)
            for member in crowd.members:
                member.connect()
            crowd.closing = True
            await until(lambda: len(seen) == 5)

    uvloop.run(story())
    assert {address: seen.count(address) for address in seen} == {"127.0.4.1": 2, "127.0.4.2": 2, "127.0.4.3": 1}


def test_far_servers_see_the_machines_own_address() -> None:
    assert crowding._sources("192.0.2.1", members=9_000, index=0) == []
    assert len(crowding._sources("127.0.0.1", members=9_000, index=0)) == 3
