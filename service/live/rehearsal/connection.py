"""One synthetic member's connection: Socket.IO 5 over one WebSocket, as cheap as Python allows.

Tells its owner when the namespace is open, when an answer or an event comes, and, exactly once, when the
connection has ended. Answers pings of both layers by itself.
"""

import asyncio
import json
from typing import Any, Protocol, cast

from service.live.rehearsal.frames import CLOSE, PING, PONG, TEXT, FrameError, Wire, masked, split


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def ready(self) -> None:
        """The CONNECT was accepted."""

    def answered(self, number: int, answer: dict[str, Any]) -> None:
        """An acknowledgement came."""

    def heard(self, payload: bytes) -> None:
        """An event came: its JSON array."""

    def ended(self, connection: "Connection", reason: str) -> None:
        """The connection is over; it was refused or lost unless the owner ended it."""


class Connection(asyncio.Protocol):
    """The client side of one WebSocket, from the upgrade request on."""

    __slots__ = ("auth", "owner", "reason", "rest", "transport", "upgraded", "wire")

    def __init__(self, owner: Owner, wire: Wire, auth: bytes) -> None:
        self.owner: Owner | None = owner
        self.wire = wire
        self.auth = auth
        self.rest = b""
        self.upgraded = False
        self.reason = ""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class is no asyncio.Transport
        if self.owner is None:  # hung up while the connection was being made
            self.transport.abort()
            return
        self.transport.write(self.wire.upgrade)

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        start = 0 if self.upgraded else self._upgrade(data)
        if start < 0:
            self.rest = data
            return
        try:
            found, self.rest = split(data, start)
        except FrameError:
            self._refuse("frame_error")
            return
        for opcode, payload in found:
            self._frame(opcode, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        owner, self.owner, self.transport = self.owner, None, None
        if owner is not None:
            owner.ended(self, self.reason or "connection_lost")

    def write(self, frame: bytes) -> None:
        """Send a prepared frame; quiet when the connection has ended."""
        if self.transport is not None:
            self.transport.write(frame)

    def close(self) -> None:
        """Say goodbye and close; the owner hears nothing more."""
        self.owner = None
        if self.transport is not None:
            self.transport.write(self.wire.goodbye)
            self.transport.close()

    def drop(self) -> None:
        """Vanish without a word, as a phone in a tunnel does, and let the peer's kernel know at once."""
        self.owner = None
        if self.transport is not None:
            self.transport.abort()

    def _upgrade(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return -1
        if not data.startswith(b"HTTP/1.1 101") or self.wire.accept not in data[:end]:
            self._refuse("http_" + data[9:12].decode("latin-1"))
            return -1
        self.upgraded = True
        return end + 4

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._packet(payload)
        elif opcode == PING:
            self.write(masked(PONG, payload, self.wire.key))
        elif opcode == CLOSE:
            self._refuse("closed_by_server")

    def _packet(self, payload: bytes) -> None:
        kind = payload[:2]
        owner = self.owner
        if owner is None:
            return
        if kind == b"43":
            bracket = payload.index(b"[")
            owner.answered(int(payload[2:bracket]), json.loads(payload[bracket:])[0])
        elif kind == b"42":
            owner.heard(payload[2:])
        elif kind == b"40":
            owner.ready()
        elif kind == b"2":
            self.write(self.wire.pong)
        elif kind[:1] == b"0":
            self.write(self.auth)
            self.auth = b""
        else:
            self._refuse(_refusal(payload))

    def _refuse(self, reason: str) -> None:
        """Hang up; the owner hears the first `reason` when the transport is gone."""
        self.reason = self.reason or reason
        if self.transport is not None:
            self.transport.abort()


def _refusal(payload: bytes) -> str:
    """The stable code inside a CONNECT_ERROR, or what kind of packet ended the connection."""
    if not payload.startswith(b"44"):
        return "closed_by_server"
    try:
        return str(json.loads(payload[2:])["data"]["code"])
    except (ValueError, KeyError, TypeError):
        return "connect_error"
