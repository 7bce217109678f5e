"""Sockets on our own epoll: what asyncio promises a protocol holds here too."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from service.live import gateway as gateways
from service.live.sockets import EPOLL, Line, Reception
from tests.live.stage import Stage, member, serving, until

pytestmark = pytest.mark.skipif(not EPOLL, reason="there is no epoll here")


class Peer:
    """Notes what it is told; `echo` sends it back."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.heard = b""
        self.paused = 0
        self.lost: list[Exception | None] = []
        self.inside = False

    def connection_made(self, transport: Line) -> None:
        self.line = transport

    def data_received(self, data: bytes) -> None:
        self.inside = True
        self.heard += data
        if self.echo:
            self.line.write(data)
        if data.endswith(b"!"):
            self.line.abort()
        self.inside = False

    def pause_writing(self) -> None:
        self.paused += 1
        self.line.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self.inside
        self.lost.append(exc)


class Room:
    """A reception with one door, and clients that came in by it."""

    def __init__(self, *, echo: bool = False) -> None:
        self.peers: list[Peer] = []
        self.clients: list[socket.socket] = []
        self.echo = echo
        self.reception = Reception(asyncio.get_running_loop())
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.address = self.listener.getsockname()
        self.door = self.reception.open(self.listener, 10, self._admit)

    def _admit(self) -> Peer:
        self.peers.append(Peer(echo=self.echo))
        return self.peers[-1]

    async def enter(self) -> tuple[socket.socket, Peer]:
        """A client, and the peer that it met."""
        before = len(self.peers)
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.clients.append(client)
        await until(lambda: len(self.peers) > before)
        return client, self.peers[-1]

    def close(self) -> None:
        """End everything."""
        for client in self.clients:
            client.close()
        self.door.close()
        for peer in self.peers:
            peer.line.abort()
        self.reception.close()
        self.reception.close()
        assert [len(peer.lost) for peer in self.peers] == [1] * len(self.peers)


def run(story: Callable[[Room], Coroutine[Any, Any, None]], *, echo: bool = False) -> None:
    """Let `story` happen in a room."""

    async def whole() -> None:
        with closing(Room(echo=echo)) as room:
            await story(room)

    uvloop.run(whole())


async def read(client: socket.socket, size: int) -> bytes:
    """At least `size` bytes, or what came before the end."""
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < size and (data := await loop.sock_recv(client, 65_536)):
        found += data
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=8))
def test_bytes_arrive_whole_and_in_order_however_slowly_they_are_taken(chunks: list[bytes]) -> None:
    async def story(room: Room) -> None:
        client, peer = await room.enter()
        peer.line.set_write_buffer_limits(high=1_000_000)
        for chunk in chunks:
            peer.line.write(chunk)
        peer.line.close()
        peer.line.write(b"too late")
        assert await read(client, 10_000_000) == b"".join(chunks)
        await until(lambda: (room.reception.behind, room.reception.buffered) == (0, 0))
        await until(lambda: peer.lost == [None])

    run(story)


def test_who_does_not_read_is_told_of_beyond_the_bound_and_holds_nobody_up() -> None:
    async def story(room: Room) -> None:
        _, slow = await room.enter()
        other, _ = await room.enter()
        slow.line.set_write_buffer_limits(high=10_000)
        most = 0
        while not slow.paused:
            slow.line.write(b"x" * 1000)
            most = max(most, room.reception.buffered)
            assert room.reception.behind == (room.reception.buffered > 0)
        assert 9_000 <= most <= 10_000
        assert (room.reception.behind, room.reception.buffered) == (0, 0)  # it was cut off
        other.send(b"hello")
        assert await read(other, 5) == b"hello"
        await until(lambda: slow.lost == [None])
        assert slow.paused == 1

    run(story, echo=True)


def test_an_end_is_told_once_and_afterwards() -> None:
    async def story(room: Room) -> None:
        (left, one), (reset, two), (cut, three) = [await room.enter() for _ in range(3)]
        left.send(b"bye")
        left.shutdown(socket.SHUT_WR)
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        reset.close()
        cut.send(b"now!")
        await until(lambda: all(peer.lost for peer in room.peers))
        assert [len(peer.lost) for peer in room.peers] == [1, 1, 1]
        assert (one.heard, three.heard) == (b"bye", b"now!")
        assert isinstance(two.lost[0], ConnectionResetError)
        assert await read(left, 100) == b"bye"
        for peer in room.peers:
            peer.line.write(b"more")

    run(story, echo=True)


def test_an_eof_of_ours_leaves_the_other_direction_open() -> None:
    async def story(room: Room) -> None:
        client, peer = await room.enter()
        peer.line.set_write_buffer_limits(high=1_000_000)
        peer.line.write(b"y" * 200_000)
        peer.line.write_eof()
        assert len(await read(client, 10_000_000)) == 200_000
        client.send(b"thanks")
        await until(lambda: peer.heard == b"thanks")
        assert not peer.lost

    run(story)


def test_descriptors_that_are_used_again_at_once_hear_nothing_old() -> None:
    async def story(room: Room) -> None:
        for turn in range(8):
            crowd = [await room.enter() for _ in range(4)]
            for client, _ in crowd:
                client.send(b"%d!" % turn)
            await until(lambda: all(peer.lost for peer in room.peers))
            assert {peer.heard for _, peer in crowd} == {b"%d!" % turn}

    run(story, echo=True)


def test_a_closed_door_lets_nobody_in_and_keeps_those_inside() -> None:
    async def story(room: Room) -> None:
        client, _ = await room.enter()
        room.door.close()
        room.door.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(room.address, 1)
        client.send(b"still")
        assert await read(client, 5) == b"still"

    run(story, echo=True)


def test_without_descriptors_the_door_waits_instead_of_spinning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.live.sockets.PAUSE_SECONDS", 0.05)

    async def story(room: Room) -> None:
        tries = 0

        class Short(socket.socket):
            def _accept(self) -> tuple[int, Any]:
                nonlocal tries
                tries += 1
                if tries < 3:
                    raise OSError(24, "too many open files")
                return super()._accept()  # type: ignore[misc, no-any-return]

        room.door._socket = Short(fileno=room.listener.detach())
        client, peer = await room.enter()
        client.send(b"in")
        await until(lambda: peer.heard == b"in")
        assert 3 <= tries < 10

    run(story, echo=True)


def test_the_gateway_serves_on_asyncios_transports_where_there_is_no_epoll(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "EPOLL", False)

    async def story() -> None:
        stream = stage.stream()
        async with serving(stage.config()) as (gateway, port), member(port, 1) as ana:
            assert (await ana.join(stream))["count"] == 1
            assert gateway.reception is None

    uvloop.run(story())
