"""The gateway while PostgreSQL or Valkey is away, slow clients, silent clients; and its end."""

import asyncio
import json
import resource
import socket
import time
from datetime import timedelta
from typing import Any

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed

from tests.live.recorder import client_frame, opening
from tests.live.stage import Stage, keeping, member, serving, token, until


def test_without_valkey_a_join_stands_and_the_count_follows(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            stage.valkey.stop()
            try:
                answer = await ana.join(stream)
                assert (answer["ok"], answer["count"], answer["basis"]) == (True, None, "degraded")
            finally:
                stage.valkey.start()
            name, pushed = await ana.next_event()
            assert (name, pushed["count"]) == ("count", 1)

    uvloop.run(story())


def test_after_valkey_lost_everything_everybody_is_pushed_again(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        with keeping(stage, stream):
            async with serving(stage.config()) as (_, port), member(port, 1) as ana, member(port, 2) as ben:
                await ana.join(stream)
                await ben.join(stream)
                stage.valkey.stop()
                stage.valkey.start()
                await until(lambda: stage.online(stream) == 2)
                await until(lambda: stage.snapshot(stream).basis == "exact")
                assert stage.snapshot(stream).connections == 2
            await until(lambda: [row[3] for row in stage.stays(stream)] == ["owner"] * 2)

    uvloop.run(story())


def test_a_frozen_database_stops_neither_joins_nor_the_loop(stage: Stage) -> None:
    async def story() -> None:
        known = stage.stream()
        async with serving(stage.config(deny_refresh_seconds=0.1)) as (_, port), member(port, 1) as ana:
            with stage.frozen_database():
                assert (await ana.join(known))["count"] == 1
                unknown = await ana.join(987_654)
                assert unknown["error"]["code"] == "database_unavailable"
            await until(lambda: len(stage.stays(known)) == 1)

    uvloop.run(story())


def test_stays_wait_for_the_database_and_none_is_lost_or_doubled(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana, member(port, 2) as ben:
            await ana.join(stream)
            await until(lambda: len(stage.stays(stream)) == 1)
            stage.postgres.stop()
            try:
                await ben.join(stream)
                await ana.ask("leave", {"stream": stream})
                await ana.join(stream)
                await ben.ask("leave", {"stream": stream})
                await asyncio.sleep(0.3)  # several batches fail
                assert gateway.stays.lost == 0
            finally:
                stage.postgres.start()
            await until(lambda: len(stage.stays(stream)) == 3 and not len(gateway.stays))
            assert sorted((row[0], row[1], row[3]) for row in stage.stays(stream)) == [
                (1, 1, "owner"),
                (1, 2, None),
                (2, 1, "owner"),
            ]
            assert next(row[2] for row in stage.stays(stream) if row[0] == 2) < 8
        await until(lambda: all(row[3] == "owner" for row in stage.stays(stream)))

    uvloop.run(story())


def test_the_owners_close_overrides_the_reapers(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            await ana.join(stream)
            await until(lambda: len(stage.stays(stream)) == 1)
            stage.sql("UPDATE stays SET left_at = joined_at, closed_by = 'reaper' WHERE stream_id = %s", stream)
            await asyncio.sleep(0.2)
            await ana.ask("leave", {"stream": stream})
            await until(lambda: stage.stays(stream)[0][3] == "owner")
            assert stage.stays(stream)[0][2] > 0.15
            [[connection]] = stage.sql("SELECT connection FROM stays WHERE stream_id = %s", stream)
            assert connection.version == 8

    uvloop.run(story())


def test_a_gateway_is_heard_by_the_database(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config()) as (gateway, _):
            await until(lambda: stage.sql("SELECT 1 FROM gateways WHERE id = %s", gateway.id))
            [[first]] = stage.sql("SELECT heard_at FROM gateways WHERE id = %s", gateway.id)
            await until(lambda: stage.sql("SELECT heard_at FROM gateways WHERE id = %s", gateway.id)[0][0] > first)

    uvloop.run(story())


def test_pings_keep_a_connection_and_silence_ends_it_when_last_heard(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        config = stage.config(ping_interval_seconds=0.3, ping_timeout_seconds=0.2)
        async with serving(config) as (_, port), member(port, 1) as ana, member(port, 2) as ben:
            await ana.join(stream)
            await ben.join(stream)
            for _ in range(4):  # ana answers four pings, ben never reads
                assert await asyncio.wait_for(ana.socket.recv(), 5) == "2"
                await ana.say("3")
            await until(lambda: [row[3] for row in stage.stays(stream) if row[0] == 2] == ["owner"])
            [silent] = [row for row in stage.stays(stream) if row[0] == 2]
            assert silent[2] < 0.3
            assert (await ana.join(stream))["count"] == 1
            await until(lambda: not [row for row in stage.stays(stream) if row[0] == 1 and row[3]])

    uvloop.run(story())


def test_who_does_not_connect_in_time_is_closed(stage: Stage) -> None:
    async def story() -> None:
        async with serving(stage.config(handshake_seconds=0.2)) as (gateway, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(opening())
            said = await asyncio.wait_for(reader.readuntil(b"connect in time"), 5)
            assert said.startswith(b"HTTP/1.1 101")
            writer.write(client_frame(b"\x03\xf0", opcode=8))
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            half_open, other = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(half_open.read(), 5) == b""
            other.close()
            await until(lambda: not gateway.connections)

    uvloop.run(story())


def test_who_does_not_read_is_cut(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config(send_buffer_bytes=20_000)) as (gateway, port):
            with socket.socket() as plug:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                plug.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(plug, ("127.0.0.1", port))
                hello = client_frame(b'40{"token":"%b"}' % token(2).encode())
                join = client_frame(b'420["join",{"stream":%d}]' % stream)
                await loop.sock_sendall(plug, opening() + hello + join)
                await until(lambda: stage.online(stream) == 1)
                sent = 0
                while not gateway.counters.slow:
                    gateway.audiences[stream].push()
                    sent += 1
                    await asyncio.sleep(0)
                assert sent < 5000  # some 100 bytes each: the kernel's part is bounded too
                await until(lambda: not gateway.connections and stage.online(stream) == 0)

    uvloop.run(story())


def test_a_closing_gateway_sends_everybody_away_and_leaves_nothing_over(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream(grace=600)
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana:
            await ana.join(stream)
            closing = asyncio.create_task(gateway.close(4.0))
            with pytest.raises(ConnectionClosed) as seen:
                await ana.next_event()
            assert seen.value.rcvd is not None
            assert seen.value.rcvd.code == 1012
            await closing
            assert stage.online(stream) == 0
            assert [row[3] for row in stage.stays(stream)] == ["owner"]

    uvloop.run(story())


def test_a_full_gateway_says_so_and_when_to_come_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        monkeypatch.setattr("service.live.gateway.SPARE_DESCRIPTORS", limit - 2)
        async with serving(stage.config()) as (_, port), member(port, 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(opening(Accept_Language="fr, en;q=0.5"))
            head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: " in head
            assert json.loads(body)["title"] == "No more connections here, try again shortly"
            writer.close()

    uvloop.run(story())


def test_a_flush_in_flight_when_valkey_stands_still_counts_once(stage: Stage) -> None:
    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (_, port), member(port, 1) as ana, member(port, 2) as ben:
            assert (await ana.join(stream))["count"] == 1
            with stage.frozen_valkey():
                assert (await ben.join(stream))["count"] is None
            await until(lambda: stage.online(stream) == 2)
            assert (await ben.join(stream))["count"] == 2
            assert stage.snapshot(stream).connections == 2

    uvloop.run(story())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"G" * 9000, 431),
    ],
)
def test_plain_http(stage: Stage, request_: bytes, status: int) -> None:
    async def story() -> Any:
        async with serving(stage.config()) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert (b"problem+json" in head) == (status != 200)
            writer.close()

    uvloop.run(story())


def test_times_are_the_databases_whatever_our_own_clock_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        stream = stage.stream()
        behind = time.time() - 60
        monkeypatch.setattr("service.live.books.time.time", lambda: behind)
        async with serving(stage.config()) as (_, port), member(port, 1) as ana:
            [[before]] = stage.sql("SELECT clock_timestamp()")
            await ana.join(stream)
            await ana.ask("leave", {"stream": stream})
            [[after]] = stage.sql("SELECT clock_timestamp()")
            await until(lambda: [row[3] for row in stage.stays(stream)] == ["owner"])
            [[joined, left]] = stage.sql("SELECT joined_at, left_at FROM stays WHERE stream_id = %s", stream)
            tolerance = timedelta(seconds=0.1)
            assert before - tolerance < joined <= left < after + tolerance

    uvloop.run(story())
