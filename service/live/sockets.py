"""Accepted sockets on an epoll of their own inside the loop: the cheapest way that plain Python has to very many peers.

A `Reception` is one more reader of the loop, a `Line` an asyncio transport without what a gateway does not need: no
flow control but a bound, no context, no handle. Promises: `connection_lost` is called once, and never from within
another call; bytes go out in order; a descriptor that was given up is closed after the turn only, so that no event of
it reaches the one that gets its number next.

Compiled where `make compile` was run: no class here has a base of Python's own.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

EPOLL = hasattr(select, "epoll")  # where there is none, asyncio's own transports serve
READ_BYTES: Final = 8192
TURN: Final = 256  # events, then the loop does other things
PAUSE_SECONDS = 1.0  # when descriptors or memory are short

_IN: Final = getattr(select, "EPOLLIN", 0)
_OUT: Final = getattr(select, "EPOLLOUT", 0)
_SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Peer(Protocol):
    """What a socket's bytes are for: asyncio's protocol, as far as it is needed here."""

    def connection_made(self, transport: Any) -> None:
        """There is a transport, which knows its `peername` during this call only."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def pause_writing(self) -> None:
        """More waits than the limit allows."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""


class Line:
    """One accepted socket."""

    __slots__ = ("_address", "_closing", "_limit", "_peer", "_reception", "_shut", "_socket", "_waiting")

    def __init__(self, reception: Reception, accepted: socket.SocketType, address: Any, peer: Peer) -> None:
        self._reception = reception
        self._socket = accepted
        self._address = address
        self._peer: Peer | None = peer  # None once it has ended
        self._limit = 65_536
        self._waiting: bytearray | None = None
        self._closing = self._shut = False

    def begin(self, peer: Peer) -> None:
        """Tell the peer of its transport; the address, dear for what it is, is forgotten then."""
        peer.connection_made(self)
        self._address = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, or `peername` while the peer is told of its connection."""
        if name == "socket":
            return self._socket
        return default if name != "peername" or self._address is None else self._address

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The peer is told to pause when more than `high` bytes wait, besides what the kernel holds."""
        if high is not None:
            self._limit = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`, now or as soon as the peer takes it."""
        if self._waiting is not None:
            self._wait(data)
        elif not self._closing:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._end(error)
                return
            if sent < len(data):
                self._wait(data[sent:])

    def write_eof(self) -> None:
        """Send nothing more."""
        self._shut = True
        if self._waiting is None:
            self._shut_down()

    def close(self) -> None:
        """Read nothing more, and end when everything is sent."""
        if self._waiting is None:
            self._end(None)
        elif not self._closing:
            self._closing = True
            self._reception.watch(self._socket, _OUT)

    def abort(self) -> None:
        """End now."""
        self._end(None)

    def ready(self, events: int) -> None:
        """The kernel has something, takes something, or knows of an end."""
        if self._waiting is not None and events & ~_IN:
            self._drain(self._waiting)
        if self._closing or events == _OUT:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data and self._peer is not None:
            self._peer.data_received(data)
        else:
            self.close()

    def _wait(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        if self._waiting is None:
            self._waiting = bytearray()
            self._reception.behind += 1
            self._reception.watch(self._socket, _IN | _OUT)
        self._waiting += data
        self._reception.buffered += len(data)
        if len(self._waiting) > self._limit and self._peer is not None:
            self._peer.pause_writing()

    def _drain(self, waiting: bytearray) -> None:
        try:
            sent = self._socket.send(waiting)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        del waiting[:sent]
        self._reception.buffered -= sent
        if not waiting:
            self._forget_waiting()
            self._drained()

    def _drained(self) -> None:
        if self._closing:
            self._end(None)
            return
        self._reception.watch(self._socket, _IN)
        if self._shut:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._end(error)

    def _forget_waiting(self) -> None:
        if self._waiting is not None:
            self._reception.behind -= 1
            self._reception.buffered -= len(self._waiting)
            self._waiting = None

    def _end(self, error: Exception | None) -> None:
        peer, self._peer = self._peer, None
        self._forget_waiting()
        self._closing = True
        if peer is not None:
            self._reception.bury(self._socket, peer, error)


class Door:
    """One listening socket."""

    __slots__ = ("_factory", "_kind", "_reception", "_socket")

    def __init__(self, reception: Reception, listener: socket.socket, factory: Callable[[], Peer]) -> None:
        self._reception = reception
        self._socket = listener
        self._factory = factory
        self._kind = (int(listener.family), int(listener.type), listener.proto)

    def ready(self, events: int) -> None:
        """Let in everybody who waits, but no more than one turn's worth."""
        for _ in range(TURN):
            try:
                # Not `accept`: it wraps each socket in a class written in Python, and asks two enumerations for that,
                # which takes longer than the kernel takes to accept.
                fd, address = self._socket._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._reception.pause(self._socket)
                return
            accepted = socket.SocketType(*self._kind, fd)
            accepted.setblocking(False)
            self._reception.enter(accepted, address, self._factory())

    def close(self) -> None:
        """Accept nobody more."""
        self._reception.forget(self._socket)
        self._socket.close()


class Reception:
    """All accepted sockets of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._known: list[Line | Door | None] = []  # by descriptor
        self._ended: list[tuple[socket.SocketType, Peer, Exception | None]] = []
        self.behind = self.buffered = 0  # lines that have something waiting, and how many bytes
        loop.add_reader(self._epoll.fileno(), self._turn)

    def open(self, listener: socket.socket, backlog: int, factory: Callable[[], Peer]) -> Door:
        """Accept on `listener`; every accepted socket gets a protocol from `factory`."""
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        listener.listen(backlog)
        door = Door(self, listener, factory)
        self._know(listener.fileno(), door)
        return door

    def enter(self, accepted: socket.SocketType, address: Any, peer: Peer) -> None:
        """A socket was accepted."""
        line = Line(self, accepted, address, peer)
        self._know(accepted.fileno(), line)
        line.begin(peer)

    def watch(self, one: socket.SocketType, events: int) -> None:
        """Wait for other events than before."""
        self._epoll.modify(one, events)

    def pause(self, listener: socket.socket) -> None:
        """Leave a listening socket alone for a moment."""
        self._epoll.modify(listener, 0)
        self._loop.call_later(PAUSE_SECONDS, self._resume, listener)

    def forget(self, one: socket.socket) -> None:
        """Wait for nothing more there; quiet when all is over."""
        if one.fileno() >= 0 and not self._epoll.closed:
            self._epoll.unregister(one)
            self._known[one.fileno()] = None

    def bury(self, one: socket.SocketType, peer: Peer, error: Exception | None) -> None:
        """Close a socket and tell its peer, after this turn."""
        if not self._ended:
            self._loop.call_soon(self._close_ended)
        self._ended.append((one, peer, error))

    def close(self) -> None:
        """End; everybody has to be gone."""
        self._close_ended()
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _know(self, fd: int, one: Line | Door) -> None:
        self._known += [None] * (fd + 1 - len(self._known))
        self._known[fd] = one
        self._epoll.register(fd, _IN)

    def _turn(self) -> None:
        known = self._known
        for fd, events in self._epoll.poll(0, TURN):
            one = known[fd]
            if one is not None:
                one.ready(events)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0 and not self._epoll.closed:
            self._epoll.modify(listener, _IN)

    def _close_ended(self) -> None:
        ended, self._ended = self._ended, []
        for one, peer, error in ended:
            self._known[one.fileno()] = None
            one.close()
            peer.connection_lost(error)
