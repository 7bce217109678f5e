"""One member's connection, byte by byte: HTTP upgrade, WebSocket, Engine.IO 4, Socket.IO 5 on namespace "/".

Sans-IO: `Wire` is fed chunks and calls its hooks; a subclass supplies the transport and the meaning. Promises: any
split of a byte stream into chunks gives the same hooks in the same order; no bytes raise; every wrong thing ends in
the protocol's own error and a close with a reason. An idle connection costs two slots here, and no buffer.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from service.live import packets, upgrade, websocket
from service.live.websocket import Frame, Violation, read_frame, unmask

OPENING: Final = 0  # reading the HTTP request
OPEN: Final = 1  # a WebSocket, not yet a Socket.IO client
CONNECTED: Final = 2
CLOSING: Final = 3  # our close frame is out, the peer's is awaited
CLOSED: Final = 4  # nothing is read any more

BUDGET: Final = 300  # chunks and frames that a client may send between two pings; a person's page sends a handful

_READING = (OPEN, CONNECTED, CLOSING)


class _Unfinished:
    """What an interrupted chunk or message leaves behind."""

    __slots__ = ("message", "rest")

    def __init__(self, rest: bytes, message: bytearray | None) -> None:
        self.rest = rest
        self.message = message


@mypyc_attr(allow_interpreted_subclasses=True)  # the tests have theirs
class Wire(ABC):
    """The protocol's state of one connection; subclasses implement the hooks, which raise nothing."""

    __slots__ = ("_unfinished", "spent", "state")

    budget: ClassVar[int] = BUDGET

    def __init__(self) -> None:
        self.state = OPENING
        self.spent = 0  # of the budget; the subclass sets it back
        self._unfinished: _Unfinished | None = None

    # What a subclass supplies.

    @abstractmethod
    def message_limit(self) -> int:
        """The greatest size of one message in bytes."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send `data`."""

    @abstractmethod
    def finish(self) -> None:
        """All is said: give the peer a moment to read it and to close, then hang up."""

    @abstractmethod
    def hang_up(self) -> None:
        """Both sides are done: let what was written go out and end the connection."""

    @abstractmethod
    def refusal(self, request: upgrade.Request) -> str | None:
        """The code of a refusal to upgrade a proper request, or None."""

    @abstractmethod
    def greeting(self) -> bytes:
        """The frame that follows the upgrade: Engine.IO's open packet."""

    @abstractmethod
    def answer(self, request: upgrade.Request | None, code: str) -> bytes:
        """The HTTP answer to a request that is not upgraded."""

    @abstractmethod
    def connecting(self, auth: dict[str, object]) -> None:
        """The client asks to connect; call `accept` or `refuse`."""

    @abstractmethod
    def disconnecting(self) -> None:
        """The client says goodbye (Socket.IO DISCONNECT or Engine.IO close): it left on purpose."""

    @abstractmethod
    def event(self, name: str, arguments: list[object], ack: str) -> None:
        """An event of a connected client; `ack` is "" when no answer is wanted."""

    @abstractmethod
    def alive(self) -> None:
        """A pong came."""

    @abstractmethod
    def flooded(self) -> None:
        """More came: the connection is being closed."""

    # What a subclass calls.

    def accept(self, sid: str) -> None:
        """Let the client in."""
        self.state = CONNECTED
        self.write(packets.connected_frame(sid))

    def refuse(self, message: str, data: object) -> None:
        """Refuse the client's CONNECT and close."""
        self.write(packets.refused_frame(message, data))
        self.close(websocket.POLICY, message)

    def close(self, code: int, reason: str) -> None:
        """Close with a reason; quiet when closed already."""
        if OPENING < self.state < CLOSING:
            self.state = CLOSING
            self.write(websocket.close_frame(code, reason))
            self.finish()
        elif self.state == OPENING:
            self.state = CLOSED
            self.hang_up()

    # Bytes in.

    def data_received(self, data: bytes) -> None:
        """Feed one chunk."""
        # The hot path: exactly one final, masked text frame, and nothing pending. Everything else, and everything
        # that is wrong, takes the general way; both ways give the same, as the tests of splitting show.
        self.spent += 1
        if self.spent > self.budget:
            self._flood()
            return
        size = len(data)
        if size > 6 and data[0] == 0x81 and self._unfinished is None and self.state in (OPEN, CONNECTED):
            if data[1] == size + 122 and size < 132:
                self._message(unmask(data[6:], data[2:6]))
                return
            if data[1] == 0xFE and 134 <= size == (data[2] << 8 | data[3]) + 8 <= self.message_limit() + 8:
                self._message(unmask(data[8:], data[4:8]))
                return
        if self.state == OPENING:
            self._read_head(data)
        elif self.state != CLOSED:
            self._read_frames(data)

    def _read_head(self, data: bytes) -> None:
        if self._unfinished is not None:
            data = self._unfinished.rest + data
        end = data.find(b"\r\n\r\n", 0, upgrade.HEAD_LIMIT)
        if end < 0:
            if len(data) >= upgrade.HEAD_LIMIT:
                self._decline(None, "headers_too_large")
            else:
                self._unfinished = _Unfinished(data, None)
            return
        self._unfinished = None
        request, code, key = upgrade.read_opening(data[: end + 4])
        if request is not None and code is None:
            code = self.refusal(request)
        if code is not None:
            self._decline(request, code)
            return
        self.state = OPEN
        self.write(upgrade.switching(key) + self.greeting())
        if len(data) > end + 4:
            self._read_frames(data[end + 4 :])

    def _decline(self, request: upgrade.Request | None, code: str) -> None:
        self._unfinished = None
        self.state = CLOSED
        self.write(self.answer(request, code))
        self.finish()

    def _read_frames(self, data: bytes) -> None:
        message: bytearray | None = None
        if self._unfinished is not None:
            data = self._unfinished.rest + data
            message = self._unfinished.message
            self._unfinished = None
        limit = self.message_limit()
        start = 0
        while self.state in _READING:
            frame = read_frame(data, start, limit - (len(message) if message else 0))
            if frame is None:
                if start < len(data) or message is not None:
                    self._unfinished = _Unfinished(data[start:], message)
                return
            if isinstance(frame, Violation):
                self._violated(frame)
                return
            start = frame.end
            self.spent += 1
            if self.spent > self.budget:
                self._flood()
            elif frame.opcode & 0x8:
                self._control(frame)
            else:
                message = self._assemble(frame, message)

    def _assemble(self, frame: Frame, message: bytearray | None) -> bytearray | None:
        """Add a data frame to the message so far; a complete one is handled, an incomplete one given back."""
        if (message is None) == (frame.opcode == websocket.CONTINUATION):
            self._violated(Violation(websocket.PROTOCOL_ERROR, "fragments out of order"))
            return None
        if message is None:
            if frame.final:
                self._message(frame.payload)
                return None
            return bytearray(frame.payload)
        message += frame.payload
        if not frame.final:
            return message
        self._message(bytes(message))
        return None

    def _flood(self) -> None:
        """Close a client that sends more than anybody needs to, whatever it is."""
        if self.state != CLOSED:
            self.flooded()
            self._violated(Violation(websocket.POLICY, "too many messages"))

    def _violated(self, violation: Violation) -> None:
        """Close because of `violation`; what follows on the stream cannot be trusted."""
        self.close(violation.code, violation.reason)
        self.state = CLOSED

    def _control(self, frame: Frame) -> None:
        if frame.opcode == websocket.PING:
            if self.state < CLOSING:
                self.write(websocket.pong_frame(frame.payload))
        elif frame.opcode == websocket.CLOSE:
            if self.state < CLOSING:
                self.write(websocket.close_frame(websocket.read_close(frame.payload).code))
            self.state = CLOSED
            self.hang_up()

    # Packets.

    def _message(self, payload: bytes) -> None:
        if self.state >= CLOSING:
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._violated(Violation(websocket.INVALID_TEXT, "text is not UTF-8"))
            return
        kind = text[:1]
        if kind == "4":
            self._packet(packets.read_packet(text[1:]))
        elif kind == "3":
            self.alive()
        elif kind == "1":
            self.disconnecting()
            self.close(1000, "")
        elif kind != "6":
            self.close(websocket.PROTOCOL_ERROR, "unexpected Engine.IO packet")

    def _packet(self, packet: packets.Packet | str) -> None:
        if isinstance(packet, str):
            self.close(websocket.PROTOCOL_ERROR, packet)
            return
        kind, namespace, ack, data = packet
        if namespace != "/":
            self._elsewhere(kind, namespace)
        elif kind == packets.CONNECT:
            if self.state == CONNECTED:
                self.close(websocket.PROTOCOL_ERROR, "already connected")
            else:
                self.connecting(data or {})
        elif self.state != CONNECTED:
            self.close(websocket.PROTOCOL_ERROR, "connect first")
        elif kind == packets.EVENT:
            self.event(data[0], data[1:], ack)
        elif kind == packets.DISCONNECT:
            self.state = OPEN
            self.disconnecting()

    def _elsewhere(self, kind: str, namespace: str) -> None:
        if kind == packets.CONNECT:
            self.write(packets.refused_frame("Invalid namespace", None, namespace))
        elif kind != packets.DISCONNECT:
            self.close(websocket.PROTOCOL_ERROR, "no such namespace")
