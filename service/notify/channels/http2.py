"""Requests over HTTP/2: very many at once on one connection, which is opened again when it ends.

The protocol is h2's, which knows no network; what is here moves its bytes. A request that the other side did not take
up (its stream is beyond the last one that a GOAWAY names) is sent again by nobody: the caller learns it and decides.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import httpx

from service.notify.channels.addresses import AddressRefusedError, resolve
from service.notify.channels.http import MAX_BODY_BYTES, Answer, AnswerError, Target

Headers = list[tuple[bytes, bytes]]


class ConnectionEndedError(ConnectionError):
    """The connection ended before the answer; `unheard` if the other side said that it had not begun with it."""

    def __init__(self, *, unheard: bool) -> None:
        super().__init__("connection ended")
        self.unheard = unheard


@dataclass
class Stream:
    """A request whose answer is coming."""

    answer: asyncio.Future[Answer]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """One HTTP/2 connection."""

    def __init__(self) -> None:
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._streams: dict[int, Stream] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._flushing = False
        self._transport: asyncio.Transport | None = None
        self.open = False
        # Until the other side has said how many streams it takes, it may take one.
        self._most = 1
        self._heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the preface."""
        self._transport, self.open = cast(asyncio.Transport, transport), True
        self._state.initiate_connection()
        self._flush()

    async def post(self, goal: Target, *, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer; ConnectionEndedError without one. A body is one frame at most (16 KiB)."""
        await self._room(len(content))
        stream = Stream(asyncio.get_running_loop().create_future())
        number = self._state.get_next_available_stream_id()
        self._state.send_headers(number, [*_pseudo(goal), *_fields(headers)])
        self._state.send_data(number, content, end_stream=True)
        self._streams[number] = stream
        self._flush_soon()
        begun = asyncio.get_running_loop().time()
        try:
            return await stream.answer
        except asyncio.CancelledError:
            if self._heard < begun:
                # Not a word since: it may be dead without our knowing, and would swallow all that follows.
                self.close()
            raise
        finally:
            self._forget(number)

    async def _room(self, size: int) -> None:
        """Wait until one more stream of `size` bytes is allowed; ConnectionEndedError if there will be none."""
        while self.open and not self._fits(size):
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(free)
            try:
                await free
            except asyncio.CancelledError:
                if free.done():
                    self._wake()  # the place that was meant for this one goes to the next
                raise
        if not self.open:
            raise ConnectionEndedError(unheard=True)
        # One event may have made room for several: each who gets in sends the next one to look.
        asyncio.get_running_loop().call_soon(self._wake)

    def _fits(self, size: int) -> bool:
        return len(self._streams) < self._most and self._state.outbound_flow_control_window >= size

    def _wake(self) -> None:
        """Let the next one that waits look again."""
        while self._waiting:
            free = self._waiting.popleft()
            if not free.done():
                free.set_result(None)
                return

    def _forget(self, number: int) -> None:
        if self._streams.pop(number, None) is not None and self.open:
            # Given up by its caller: the other side need not go on.
            self._state.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            self._flush_soon()
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._heard = asyncio.get_running_loop().time()
        try:
            events = self._state.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._end(None)
            return
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._end(event.last_stream_id)
            return
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._most = self._state.remote_settings.max_concurrent_streams
        if isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self._wake()
            return
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.DataReceived):
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream is not None and len(stream.body) <= MAX_BODY_BYTES:
                stream.body += event.data
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            self._answered(event.stream_id, stream)
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id)
            _fail(stream, unheard=event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM)

    def _answered(self, number: int, stream: Stream) -> None:
        self._streams.pop(number)
        status = stream.headers.get(":status", "")
        if stream.answer.done():
            return
        if not status.isdigit():
            stream.answer.set_exception(AnswerError("no status"))
            return
        answer = Answer(int(status), stream.headers, reusable=True, body=bytes(stream.body[:MAX_BODY_BYTES]))
        stream.answer.set_result(answer)

    def connection_lost(self, _: Exception | None) -> None:
        """Nothing more will come."""
        self._end(None)

    def close(self) -> None:
        """Close it at once."""
        self._end(None)

    def _end(self, last: int | None) -> None:
        """No new streams; those beyond `last` were not heard. h2 reads no answers after a GOAWAY."""
        self.open = False
        streams, self._streams = self._streams, {}
        for number, stream in streams.items():
            _fail(stream, unheard=last is not None and number > last)
        for free in self._waiting:
            if not free.done():
                free.set_result(None)
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()

    def _flush_soon(self) -> None:
        """Write once for all requests of this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = self._state.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


class Pool:
    """One connection to each origin, opened when it is needed. Within one event loop."""

    def __init__(self, *, private: bool = False, trust: ssl.SSLContext | None = None) -> None:
        self._private = private
        self._trust = trust
        self._connections: dict[tuple[str, int], Connection] = {}
        self._opening = asyncio.Lock()

    async def post(self, goal: Target, *, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer; AddressRefusedError, NameUnknownError, AnswerError or OSError if there is none."""
        return await (await self._reach(goal)).post(goal, headers=headers, content=content)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    async def _reach(self, goal: Target) -> Connection:
        async with self._opening:
            found = self._connections.get((goal.host, goal.port))
            if found is None or not found.open:
                found = await self._connect(goal)
                self._connections[goal.host, goal.port] = found
            return found

    async def _connect(self, goal: Target) -> Connection:
        """A new connection to a checked address; over TLS it must agree on h2."""
        failure: Exception = AddressRefusedError()
        loop = asyncio.get_running_loop()
        for address in await resolve(goal.host, goal.port, private=self._private or goal.trusted):
            try:
                transport, connection = await loop.create_connection(
                    Connection,
                    address,
                    goal.port,
                    ssl=self._trusted() if goal.tls else None,
                    server_hostname=goal.host if goal.tls else None,
                )
            except OSError as error:
                failure = error
                continue
            tls = transport.get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() != "h2":
                transport.abort()
                raise AnswerError("not HTTP/2")
            return connection
        raise failure

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = httpx.create_ssl_context()
            self._trust.set_alpn_protocols(["h2"])
        return self._trust


def _pseudo(goal: Target) -> Headers:
    scheme = b"https" if goal.tls else b"http"
    return [(b":method", b"POST"), (b":scheme", scheme), (b":authority", goal.authority), (b":path", goal.path)]


def _fields(headers: Mapping[str, str]) -> Headers:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _fail(stream: Stream, *, unheard: bool) -> None:
    if not stream.answer.done():
        stream.answer.set_exception(ConnectionEndedError(unheard=unheard))
