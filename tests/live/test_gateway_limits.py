"""What the gateway bears from hostile, crowded and lazy clients, in real connections."""

import asyncio
import json
import math
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed

from service.live import websocket
from service.live.protocol import BUDGET
from tests.live.recorder import client_frame, opening
from tests.live.stage import Member, Stage, member, opened, serving, token, until

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


async def http(port: int, **headers: str) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers and problem of an upgrade that is refused; the body is empty if it is not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening(**headers))
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await asyncio.wait_for(reader.read(), 5) if "Content-Length" in fields else b"{}"
    writer.close()
    return int(head.split()[1]), fields, json.loads(body)


def test_foreign_pages_are_refused_and_applications_are_not(stage: Stage) -> None:
    async def story() -> None:
        config = stage.config(gateway_origins="https://servicewechat.com, https://*.example.org")
        async with serving(config) as (gateway, port):
            status, _, problem = await http(port, Origin="https://evil.example")
            assert (status, problem["code"]) == (403, "origin_refused")
            for origin in ("", "https://servicewechat.com", "https://day.example.org"):
                assert (await http(port, Origin=origin))[0] == 101
            assert gateway.counters.refused["origin_refused"] == 1

    uvloop.run(story())


def test_an_address_has_its_share_and_others_are_let_in(stage: Stage) -> None:
    async def story() -> None:
        async with (
            serving(stage.config(address_connections=3, gateway_workers=2)) as (gateway, port),
            AsyncExitStack() as held,
        ):
            for _ in range(2):
                await held.enter_async_context(behind(port, "1.2.3.4"))
            status, fields, problem = await http(port, X_Forwarded_For="9.9.9.9, 1.2.3.4")
            assert (status, problem["code"]) == (429, "address_full")
            assert 1 <= int(fields["Retry-After"]) <= 10
            assert (await http(port, X_Forwarded_For="1.2.3.5"))[0] == 101
            assert (await http(port))[0] == 101
            await held.aclose()
            await until(lambda: len(gateway.gate.addresses) == 0)
            assert (await http(port, X_Forwarded_For="1.2.3.4"))[0] == 101

    uvloop.run(story())


def test_who_comes_directly_is_limited_before_a_word_is_said(stage: Stage) -> None:
    async def story() -> None:
        config = stage.config(address_connections=1, gateway_workers=1, gateway_proxies="")
        async with serving(config) as (gateway, port), member(port, 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = await asyncio.wait_for(reader.read(), 5)
            assert head.startswith(b"HTTP/1.1 429 ")
            writer.close()
            status, _, problem = await http(port, X_Forwarded_For="1.2.3.4")
            assert (status, problem["code"]) == (429, "address_full")
            await until(lambda: len(gateway.connections) == 1)

    uvloop.run(story())


def test_who_resets_before_we_look_harms_nobody(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana:
            seen: list[dict[str, object]] = []
            gateway.loop.set_exception_handler(lambda _, context: seen.append(context))
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", port)) as peer:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await until(lambda: gateway.counters.accepted >= 51 and len(gateway.connections) == 1)
            assert await ana.ask("leave", {"stream": 1}) == {"ok": True}
            assert seen == []

    uvloop.run(story())


def test_the_oldest_device_is_told_and_its_member_stays_in_the_count(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        async with (
            serving(stage.config(member_connections=2)) as (gateway, port),
            member(port, 1) as first,
            member(port, 1) as second,
            member(port, 1) as third,
        ):
            name, problem = await first.next_event()
            assert (name, problem["code"]) == ("closing", "member_replaced")
            assert await first.receive() == "41"
            with pytest.raises(ConnectionClosed) as seen:
                await first.receive()
            assert seen.value.rcvd is not None
            assert (seen.value.rcvd.code, seen.value.rcvd.reason) == (1008, "member_replaced")
            for one in (second, third):
                assert (await one.join(stream))["count"] == 1
            await third.say("41")
            async with member(port, 1) as fourth:
                assert (await fourth.join(stream))["count"] == 1
                assert (await second.join(stream))["count"] == 1
            assert gateway.counters.replaced == 1
            await until(lambda: gateway.gate.devices.of(1) == [one for one in gateway.connections if one.audience])
            assert len(gateway.gate.devices) == 1

    uvloop.run(story())


def test_a_worker_without_memory_or_time_sends_newcomers_away_and_keeps_whom_it_has(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana:
            gateway.gate.memory_limit = 1
            status, fields, problem = await http(port)
            assert (status, problem["code"]) == (503, "gateway_memory")
            assert 1 <= int(fields["Retry-After"]) <= 30
            gateway.gate.memory_limit = math.inf
            gateway.gate.pressure.rate = 0.001
            codes = [(await http(port))[2].get("code") for _ in range(3)]
            assert codes[1:] == ["gateway_busy"] * 2
            assert (await ana.ask("leave", {"stream": 1})) == {"ok": True}
            refused = gateway.counters.refused
            assert (refused["gateway_memory"], refused["gateway_busy"]) == (1, codes.count("gateway_busy"))

    uvloop.run(story())


def test_a_loop_that_was_held_up_admits_at_a_bounded_rate_for_a_while(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config(admission_lag_seconds=0.3)) as (gateway, port):
            time.sleep(0.5)  # noqa: ASYNC251 - the loop stands still
            await until(lambda: gateway.gate.pressure.rate < math.inf)
            assert gateway.gate.pressure.stretch > 1.0
            await until(lambda: gateway.gate.pressure.rate == math.inf)
            assert (await http(port))[0] == 101

    uvloop.run(story())


async def answer_pings(client: Member) -> None:
    """Until the connection ends."""
    while True:
        if await client.receive() == "2":
            await client.say("3")


def test_an_expired_token_ends_its_connection_and_its_member_is_held(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        config = stage.config(ping_interval_seconds=0.4, ping_timeout_seconds=0.2)
        auth = {"token": token(1, seconds=2)}
        async with serving(config) as (gateway, port), opened(port, auth) as (ana, _), member(port, 2) as ben:
            await ana.join(stream)
            with pytest.raises(ConnectionClosed) as seen:
                await answer_pings(ana)
            assert seen.value.rcvd is not None
            assert (seen.value.rcvd.code, seen.value.rcvd.reason) == (1008, "token_expired")
            assert gateway.counters.expired == 1
            await until(lambda: stage.snapshot(stream).connections == 0)
            assert stage.online(stream) == 1
            async with member(port, 1) as again:
                assert (await again.join(stream))["count"] == 1
            ben.vanish()

    uvloop.run(story())


def test_the_greeting_tells_the_interval_that_a_connection_keeps(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config(messages_per_second=0.05)) as (gateway, port), AsyncExitStack() as held:
            crowd = [await held.enter_async_context(raw_member(port)) for _ in range(2)]
            await until(lambda: gateway.gate.pace.ping_seconds == 40.0)
            crowd.append(await held.enter_async_context(raw_member(port)))
            ticks = sorted(connection.ping for connection in gateway.connections)
            assert ticks == [500, 500, 800]

    uvloop.run(story())


@asynccontextmanager
async def behind(port: int, address: str) -> AsyncIterator[None]:
    """An open WebSocket of a client behind a trusted proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening(X_Forwarded_For=address))
    assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    yield
    writer.close()
