"""A peer that is not there any more and cannot say so, a worker that stood still, and hosts whose clocks are off."""

import asyncio
import ctypes
import socket
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from tests.live.guests import CLOCK_SECONDS
from tests.live.processes import Running, running, working
from tests.live.recorder import client_frame, opening
from tests.live.stage import Stage, keeping, member, opened, serving, token, until

SO_ATTACH_FILTER = 26
NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # a socket filter of one instruction: take 0 bytes of every packet
ESTABLISHED = "01"
OFF_SECONDS = 60.0
TOLERANCE = timedelta(seconds=CLOCK_SECONDS)


def cut_off(plug: socket.socket) -> None:
    """From now on nothing reaches `plug`: its kernel neither acknowledges nor resets, like a phone out of reach."""
    program = ctypes.create_string_buffer(NOTHING)
    plug.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def server_side(port: int, plug: socket.socket) -> list[str]:
    """The states that the kernel still keeps for the server's end of `plug`'s connection."""
    ends = f":{port:04X}", f":{plug.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[3] for row in rows if (row[1][-5:], row[2][-5:]) == ends]


async def join_by_hand(port: int, number: int, stream: int) -> socket.socket:
    """A member's bare socket, inside the stream once the count says so."""
    plug = socket.socket()
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plug, ("127.0.0.1", port))
    hello = client_frame(b'40{"token":"%b"}' % token(number).encode())
    await loop.sock_sendall(plug, opening() + hello + client_frame(b'420["join",{"stream":%d}]' % stream))
    return plug


def test_a_half_open_connection_ends_by_its_ping_and_grace_begins_then(stage: Stage, tmp_path: Path) -> None:
    grace = 1
    stream = stage.stream(grace=grace)

    async def story(gateway: Running) -> None:
        async with member(gateway.port, 1) as ana:
            await ana.join(stream)
            reading = asyncio.create_task(ana.receive())  # answers every ping
            with await join_by_hand(gateway.port, 2, stream) as plug:
                await until(lambda: stage.online(stream) == 2)
                cut_off(plug)
                deaf_at = time.time()
                assert server_side(gateway.port, plug) == [ESTABLISHED]
                await until(lambda: server_side(gateway.port, plug) == [])
                noticed_at = time.time()
                await until(lambda: stage.snapshot(stream).connections == 1)
                assert stage.online(stream) == 2
                await until(lambda: stage.online(stream) == 1)
                assert time.time() - noticed_at > grace / 2
                await until(lambda: [row[0] for row in stage.stays(stream) if row[3]] == [2])
                [[left]] = stage.sql("SELECT left_at FROM stays WHERE member_id = 2 AND stream_id = %s", stream)
                assert left < datetime.fromtimestamp(deaf_at, UTC) + TOLERANCE
            assert stage.snapshot(stream).connections == 1
            reading.cancel()
            await asyncio.wait([reading])
            assert (await ana.join(stream))["count"] == 1
            await ana.ask("leave", {"stream": stream})
        await until(lambda: [row[3] for row in stage.stays(stream)] == ["owner"] * 2)

    config = stage.config(ping_interval_seconds=1.0, ping_timeout_seconds=0.6)
    with running(config, tmp_path) as gateway, keeping(stage, stream):
        uvloop.run(story(gateway))


def test_after_standing_still_nobody_who_answers_is_cut_off(stage: Stage) -> None:
    stream = stage.stream()

    async def story() -> None:
        config = stage.config(ping_interval_seconds=0.8, ping_timeout_seconds=0.4)
        async with serving(config) as (gateway, port), member(port, 1) as ana:
            await ana.join(stream)
            reading = asyncio.create_task(ana.receive())  # answers every ping
            before = gateway.wheel.now
            time.sleep(1.6)  # noqa: ASYNC251 - the loop stands still for longer than anybody may be silent
            await until(lambda: gateway.wheel.now > before + 2 * 1.6 / config.flush_seconds)
            assert len(gateway.connections) == 1
            reading.cancel()
            await asyncio.wait([reading])
            assert (await ana.join(stream))["count"] == 1
        await until(lambda: [row[1:4:2] for row in stage.stays(stream)] == [(1, "owner")])

    uvloop.run(story())


def test_clocks_that_are_off_are_seen_nowhere(stage: Stage, tmp_path: Path) -> None:
    # By one clock it has not begun, by the other it is over.
    stream = stage.stream(opens=-20, closes=20)

    async def story(late: Running, early: Running) -> None:
        now = datetime.now(UTC)
        over, nearly, fresh = (now + timedelta(seconds=seconds) for seconds in (-40, -20, 5))
        async with opened(late.port, {"token": token(3, now=over, seconds=20)}) as (_, answer):
            assert "token_expired" in answer
        async with member(late.port, 1, now=fresh) as ana, member(early.port, 2, now=nearly, seconds=40) as ben:
            assert (await ana.join(stream))["count"] == 1
            assert (await ben.join(stream))["count"] == 2
            await until(lambda: figures(stage, stream) == (2, 2, 2, "exact"))
            assert now - TOLERANCE < stage.snapshot(stream).as_of < datetime.now(UTC) + TOLERANCE
            for one in (ana, ben):
                await one.ask("leave", {"stream": stream})
        await until(lambda: [row[3] for row in stage.stays(stream)] == ["owner"] * 2)
        [[first, last]] = stage.sql("SELECT min(joined_at), max(left_at) FROM stays WHERE stream_id = %s", stream)
        assert now - TOLERANCE < first < last < datetime.now(UTC) + TOLERANCE
        assert figures(stage, stream) == (0, 0, 2, "exact")

    folders = tmp_path / "late", tmp_path / "early"
    for folder in folders:
        folder.mkdir()
    config = stage.config()
    with (
        running(config, folders[0], off=-OFF_SECONDS) as late,
        running(config, folders[1], off=OFF_SECONDS) as early,
        working(config, tmp_path, off=OFF_SECONDS),
    ):
        uvloop.run(story(late, early))


def figures(stage: Stage, stream: int) -> tuple[int, int, int, str]:
    """What is counted: people, connections, everybody so far, and what it is worth."""
    seen = stage.snapshot(stream)
    return seen.online, seen.connections, seen.joined, seen.basis
