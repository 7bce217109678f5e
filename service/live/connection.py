"""One member's connection: the protocol on a transport, its deadlines, and its presence in at most one stream.

Promises: no task, timer or queue of its own; one entry on the worker's wheel at any time; a few hundred bytes. A member
that is lost (not gone on purpose) stays in the count for the stream's grace, held by this object alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from service.errors import ServiceError, problem
from service.live import packets, websocket
from service.live.presence import Attribution
from service.live.protocol import CLOSED, CLOSING, CONNECTED, Wire
from service.live.sockets import Line
from service.live.stays import Row
from service.live.upgrade import Request

if TYPE_CHECKING:
    from service.live.audience import Audience
    from service.live.gateway import Gateway

# What a connection is due for.
HANDSHAKE: Final = 0  # has to connect
PING: Final = 1  # is to be pinged
PONG: Final = 2  # has to answer
ANSWERED: Final = 3  # has answered before it had to
LINGER: Final = 4  # was closed; the peer has to hang up
GRACE: Final = 5  # is lost; leaves the count unless it comes back
OVER: Final = 6

DEFAULT_BUFFER_BYTES: Final = 65_536  # what a transport allows by itself
AT_ONCE: Final = struct.pack("ii", 1, 0)  # for SO_LINGER: close by a reset, and forget the peer

_ANONYMOUS = Attribution("", "", "", "")


class Connection(Wire):
    """A client of the gateway."""

    __slots__ = (
        "address",
        "attribution",
        "audience",
        "due",
        "expires",
        "gateway",
        "heard",
        "joined_at",
        "language",
        "member",
        "number",
        "phase",
        "ping",
        "sequence",
        "session",
        "stay_written",
        "transport",
    )

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway
        self.transport: Line | asyncio.Transport | None = None
        self.number = gateway.next_number()
        self.phase = HANDSHAKE
        self.due = self.heard = self.ping = self.expires = 0
        self.member = self.session = self.sequence = 0
        self.attribution = _ANONYMOUS
        self.address: bytes | None = None  # that it is counted under
        self.audience: Audience | None = None
        self.joined_at = 0.0
        self.stay_written = True
        self.language = gateway.config.default_language

    # The transport.

    def connection_made(self, transport: Line | asyncio.Transport) -> None:
        self.transport = transport
        if self.gateway.config.send_buffer_bytes != DEFAULT_BUFFER_BYTES:
            self.transport.set_write_buffer_limits(high=self.gateway.config.send_buffer_bytes)
        self.wait(HANDSHAKE, self.gateway.gate.patience)
        peer = transport.get_extra_info("peername")
        if not self.gateway.arrived(self, peer[0] if isinstance(peer, tuple) else ""):
            self._decline(None, "address_full")

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.state = CLOSED
        self.gateway.departed(self)
        self._lose(self.gateway.now())

    def pause_writing(self) -> None:
        """The peer does not read: what it was to be sent exceeds the bound."""
        self.gateway.counters.slow += 1
        self.reset()

    def abort(self) -> None:
        """End at once, whatever was still to be sent."""
        self.state = CLOSED
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """End at once a peer that is not there or does not read; the kernel keeps nothing for it either.

        After a plain close it would send what is unacknowledged for minutes, to nobody.
        """
        if self.transport is not None:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.abort()

    # Deadlines.

    def wait(self, phase: int, ticks: int) -> None:
        """Be due for `phase` after `ticks`; replaces what it was due for."""
        self.phase = phase
        self.due = self.gateway.wheel.add(self, ticks)

    def fall_due(self) -> None:
        """The wheel's tick has come."""
        phase, ticks = self.phase, self.gateway.ticks
        if phase == PING and self.expires <= self.gateway.wall:
            self.gateway.counters.expired += 1
            self.close(websocket.POLICY, "token_expired")
        elif phase == PING:
            self.spent = 0
            self.write(packets.PING_FRAME)
            self.wait(PONG, ticks.pong)
        elif phase == ANSWERED:
            self.wait(PING, self.ping - ticks.pong)
        elif phase == GRACE:
            self._leave_count()
        elif phase == HANDSHAKE:
            self.close(websocket.POLICY, "connect in time")
        elif phase == PONG:
            # Seen by nobody since `heard`: that is when the stay ended, while grace starts only now.
            self._end_stay(self.gateway.time_of(self.heard))
            self.reset()
        elif phase == LINGER:
            self.abort()

    # Hooks of the protocol.

    def message_limit(self) -> int:
        return self.gateway.config.max_message_bytes

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def finish(self) -> None:
        if self.state == CLOSED and self.transport is not None:
            self.transport.write_eof()  # a plain HTTP answer: its reader may wait for the end
        self.wait(LINGER, self.gateway.ticks.linger)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()
        self.wait(LINGER, self.gateway.ticks.linger)  # should the peer not take what was written

    def refusal(self, request: Request) -> str | None:
        self.language = self.gateway.language(request)
        return self.gateway.gate.refusal(self, request)

    def greeting(self) -> bytes:
        pace = self.gateway.gate.pace
        self.ping = pace.ping_ticks
        return pace.greeting(self.gateway.sid(self.number))

    def answer(self, request: Request | None, code: str) -> bytes:
        return self.gateway.answer(request, code)

    def connecting(self, auth: dict[str, object]) -> None:
        self.gateway.connect(self, auth)

    def admit(self, *, member: int, session: int, expires: int, attribution: Attribution) -> None:
        """The token, good until `expires`, says that this is `member`."""
        self.member, self.session, self.expires, self.attribution = member, session, expires, attribution
        self.heard = self.gateway.wheel.now
        self.wait(PING, self.ping)
        self.accept(self.gateway.sid(self.number))
        self.gateway.gate.admitted(self)

    def replace(self) -> None:
        """The member has newer connections enough. With an answer that no client takes for a lost connection."""
        document = problem(ServiceError("member_replaced"), self.language)
        self.write(packets.event_frame("closing", document) + packets.DISCONNECT_FRAME)
        self.close(websocket.POLICY, "member_replaced")

    def disconnecting(self) -> None:
        self.leave()
        self.gateway.gate.disconnected(self)
        if self.state < CLOSING:
            self.wait(HANDSHAKE, self.gateway.ticks.handshake)

    def event(self, name: str, arguments: list[object], ack: str) -> None:
        self.heard = self.gateway.wheel.now
        self.gateway.event(self, name, arguments, ack)

    def flooded(self) -> None:
        self.gateway.counters.floods += 1

    def alive(self) -> None:
        self.heard = self.gateway.wheel.now
        if self.phase == PONG:
            self.phase = ANSWERED

    # Presence.

    def join(self, audience: Audience) -> None:
        """Be in `audience` from now on."""
        self.audience = audience
        self.joined_at = self.gateway.now()
        self.sequence += 1
        audience.enter(self)
        self.gateway.stays.open(self)

    def leave(self) -> None:
        """Leave the stream on purpose, at once; quiet when in none."""
        self._end_stay(self.gateway.now())
        self._leave_count()

    def stay(self) -> Row | None:
        """The stay that lasts now."""
        audience = self.audience
        if audience is None or not self.joined_at:
            return None
        return self._row(audience, None)

    def _row(self, audience: Audience, gone: float | None) -> Row:
        organisation, place, channel, source = self.attribution
        return Row(
            self.number, self.sequence, audience.stream, self.member, organisation, place, channel, source,
            self.joined_at, gone,
        )  # fmt: skip

    def _end_stay(self, at: float) -> None:
        """The stay ends, once; the connection no longer counts, the member still may."""
        audience = self.audience
        if audience is not None and self.joined_at:
            self.gateway.stays.close(self._row(audience, max(at, self.joined_at)))
            self.joined_at = 0.0
            audience.exit(self)

    def _lose(self, at: float) -> None:
        self._end_stay(at)
        if self.audience is None:
            self.phase = OVER
        else:
            self.wait(GRACE, self.gateway.grace_ticks(self.audience.stream))

    def _leave_count(self) -> None:
        audience, self.audience = self.audience, None
        if audience is not None:
            audience.leave(self)

    def is_in(self, audience: Audience) -> bool:
        """Whether it is connected and in `audience`."""
        return self.audience is audience and self.state == CONNECTED
