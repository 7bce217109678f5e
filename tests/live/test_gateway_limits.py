"""What the gateway bears from hostile, crowded and lazy clients, in real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from service.live import websocket
from service.live.protocol import BUDGET
from tests.live.recorder import client_frame, opening
from tests.live.stage import Stage, member, serving, token, until

Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def raw_member(port: int) -> AsyncIterator[Raw]:
    """A connected member that sends bytes as it likes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening() + client_frame(b"40" + json.dumps({"token": token(1)}).encode()))
    await asyncio.wait_for(reader.readuntil(b"40{"), 5)
    yield reader, writer
    writer.close()


FLOODS = {
    "events": client_frame(b'42["dance"]'),
    "answers to no ping": client_frame(b"3"),
    "noops": client_frame(b"6"),
    "connects elsewhere": client_frame(b"40/elsewhere,"),
    "acknowledgements": client_frame(b"431[]"),
    "pings": client_frame(b"", opcode=websocket.PING),
    "pongs": client_frame(b"", opcode=websocket.PONG),
    "empty fragments": client_frame(b"", first=websocket.CONTINUATION),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_who_sends_too_much_of_anything_is_closed(stage: Stage, kind: str) -> None:
    async def story(at_once: int) -> None:
        async with serving(stage.config()) as (gateway, port), raw_member(port) as (reader, writer):
            if kind == "empty fragments":
                writer.write(client_frame(b"4", first=websocket.TEXT))
            for _ in range(BUDGET // at_once):
                writer.write(FLOODS[kind] * at_once)
                await asyncio.sleep(0)
            await asyncio.wait_for(reader.readuntil(websocket.close_frame(1008, "too many messages")), 5)
            assert gateway.counters.floods == 1

    for at_once in (1, BUDGET):
        uvloop.run(story(at_once))


def test_a_head_that_comes_in_crumbs_is_not_waited_for(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (gateway, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"G")
            await until(lambda: gateway.connections)
            [connection] = gateway.connections
            for _ in range(BUDGET):
                connection.data_received(b"G")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert gateway.counters.floods == 1
            writer.close()

    uvloop.run(story())


def test_pings_set_the_budget_back(stage: Stage) -> None:
    async def story() -> None:
        config = stage.config(ping_interval_seconds=0.3, ping_timeout_seconds=0.2)
        async with serving(config) as (gateway, port), member(port, 1) as ana:
            for _ in range(2 * BUDGET):
                await ana.ask("dance", {})
                await asyncio.sleep(0.002)
            assert gateway.counters.floods == 0

    uvloop.run(story())
