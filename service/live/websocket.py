"""WebSocket frames (RFC 6455), the server's side, without extensions.

Sans-IO. Promises: no bytes whatever raise; `read_frame` either needs more, gives one frame, or gives a Violation with
the close code and the reason that the peer is told. Frames to clients are final, unmasked and of minimal length.
"""

from typing import Final, NamedTuple

TEXT: Final = 0x1
CONTINUATION: Final = 0x0
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NO_CODE: Final = 1005
ABNORMAL: Final = 1006
INVALID_TEXT: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
RESTARTING: Final = 1012

_CONTROL_LIMIT = 125
_PLAIN = frozenset(0x80 | opcode for opcode in (TEXT, CLOSE, PING, PONG))


class Violation(NamedTuple):
    """What a peer did wrong, as it is told when it is closed."""

    code: int
    reason: str


class Frame(NamedTuple):
    """One frame of a client, unmasked; `end` is the offset behind it."""

    opcode: int
    final: bool
    payload: bytes
    end: int


def unmask(payload: bytes, key: bytes) -> bytes:
    """`payload` XOR the repeated four-byte `key`, as one long integer: the fastest way in plain Python."""
    size = len(payload)
    mask = int.from_bytes((key * ((size >> 2) + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


def read_frame(data: bytes, start: int, limit: int) -> Frame | Violation | None:
    """The client's frame at `start` with at most `limit` bytes of payload; None when it is not complete yet."""
    if len(data) - start < 2:
        return None
    first, second = data[start], data[start + 1]
    if first in _PLAIN and 0x80 <= second < 0xFE:  # nearly all of them: whole, masked, short, and nothing is wrong
        length, body = second & 0x7F, start + 2
    else:
        wrong = _header_violation(first, second)
        if wrong is not None:
            return wrong
        sized = _read_length(data, start, second & 0x7F)
        if sized is None or isinstance(sized, Violation):
            return sized
        length, body = sized
    if length > limit and not first & 0x8:
        return Violation(TOO_BIG, "message too big")
    end = body + 4 + length
    if len(data) < end:
        return None
    return Frame(first & 0xF, first >= 0x80, unmask(data[body + 4 : end], data[body : body + 4]), end)


def _header_violation(first: int, second: int) -> Violation | None:
    if first & 0x70:
        return Violation(PROTOCOL_ERROR, "reserved bits are set")
    opcode = first & 0xF
    if opcode & 0x8:
        if opcode > PONG:
            return Violation(PROTOCOL_ERROR, "unknown opcode")
        if not first & 0x80 or second & 0x7F > _CONTROL_LIMIT:
            return Violation(PROTOCOL_ERROR, "control frame is fragmented or too long")
    elif opcode > BINARY:
        return Violation(PROTOCOL_ERROR, "unknown opcode")
    if not second & 0x80:
        return Violation(PROTOCOL_ERROR, "client frames must be masked")
    if opcode == BINARY:
        return Violation(UNSUPPORTED, "binary messages are not accepted")
    return None


def _read_length(data: bytes, start: int, short: int) -> tuple[int, int] | Violation | None:
    """Payload length and the offset of the mask."""
    if short < 126:
        return short, start + 2
    width, least = (2, 126) if short == 126 else (8, 65536)
    body = start + 2 + width
    if len(data) < body:
        return None
    length = int.from_bytes(data[start + 2 : body], "big")
    if length < least or length >= 1 << 63:
        return Violation(PROTOCOL_ERROR, "length is not in its shortest form")
    return length, body


def read_close(payload: bytes) -> Violation:
    """Code and reason of a client's close frame; the code of a violation when the frame itself is wrong."""
    if not payload:
        return Violation(NO_CODE, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        return Violation(PROTOCOL_ERROR, "bad close code")
    try:
        return Violation(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Violation(INVALID_TEXT, "close reason is not UTF-8")


def text_frame(payload: bytes) -> bytes:
    """`payload` as one text frame to a client."""
    return _frame(0x80 | TEXT, payload)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a WebSocket ping."""
    return _frame(0x80 | PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what a control frame may hold, at a character's edge."""
    if code == NO_CODE:
        return b"\x88\x00"
    text = reason.encode()[: _CONTROL_LIMIT - 2].decode(errors="ignore").encode()
    return _frame(0x80 | CLOSE, code.to_bytes(2, "big") + text)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload
