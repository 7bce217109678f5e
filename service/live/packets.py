"""Engine.IO 4 and Socket.IO 5 packets, as text.

Sans-IO. Promises: `read_packet` never raises and gives either a packet or the reason why it is none; whatever it gives
is plain JSON without NaN or infinities. Binary packets are refused: members send none.
"""

import json
from functools import lru_cache
from typing import Any, Final, Never

from service.live.websocket import text_frame

CONNECT: Final = "0"
DISCONNECT: Final = "1"
EVENT: Final = "2"
ACK: Final = "3"
CONNECT_ERROR: Final = "4"

PING_FRAME: Final = text_frame(b"2")
DISCONNECT_FRAME: Final = text_frame(b"41")

_ACK_DIGITS = 16
_SHORT = 64

# One packet: type, namespace, acknowledgement id as it came ("" for none), data (None for none).
Packet = tuple[str, str, str, Any]


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode


def read_packet(text: str) -> Packet | str:
    """The Socket.IO packet in `text` (without Engine.IO's leading 4), or the reason why it is none.

    Shared and not to be changed: members of one stream say the same few sentences, which are read once.
    """
    return _read_short(text) if len(text) <= _SHORT else _read(text)


def _read(text: str) -> Packet | str:
    kind = text[:1]
    if kind not in ("0", "1", "2", "3"):
        return "binary packets are not accepted" if kind in ("5", "6") else "unknown packet type"
    namespace, start = "/", 1
    if text[1:2] == "/":
        namespace, start = _read_namespace(text)
    body = start
    while text[body : body + 1] in _DIGITS:
        body += 1
    if body - start > _ACK_DIGITS:
        return "acknowledgement id is too long"
    data = _read_data(text, body)
    if data is _BROKEN:
        return "packet is not valid JSON"
    reason = _shape_violation(kind, data)
    return reason or (kind, namespace, text[start:body], data)


_read_short = lru_cache(maxsize=1024)(_read)
_DIGITS = frozenset("0123456789")
_BROKEN = object()


def _read_namespace(text: str) -> tuple[str, int]:
    comma = text.find(",")
    end = len(text) if comma < 0 else comma
    return text[1:end].partition("?")[0], min(end + 1, len(text))


def _read_data(text: str, start: int) -> Any:
    if start == len(text):
        return None
    try:
        data, end = _decode(text, start)
    except (ValueError, RecursionError):
        return _BROKEN
    return data if end == len(text) else _BROKEN


def _shape_violation(kind: str, data: Any) -> str:
    if kind == EVENT:
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            return "an event needs a name"
    elif kind == CONNECT and not (data is None or isinstance(data, dict)):
        return "connect data must be an object"
    return ""


def to_json(data: object) -> bytes:
    """`data` as compact JSON in UTF-8; lone surrogates, which UTF-8 has not, become question marks."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def greeting_around(sid_length: int, *, interval: float, timeout: float, limit: int) -> tuple[bytes, bytes]:
    """Engine.IO's open packet as a frame, before and after a sid of this length.

    No upgrades, because WebSocket is all there is.
    """
    sid = "x" * sid_length
    greeting = (
        f'0{{"sid":"{sid}","upgrades":[],"pingInterval":{round(interval * 1000)},'
        f'"pingTimeout":{round(timeout * 1000)},"maxPayload":{limit}}}'
    )
    before, _, after = text_frame(greeting.encode()).partition(sid.encode())
    return before, after


def connected_frame(sid: str) -> bytes:
    """The answer to an accepted CONNECT."""
    return text_frame(b'40{"sid":"%b"}' % sid.encode())


def refused_frame(message: str, data: object, namespace: str = "/") -> bytes:
    """The answer to a refused CONNECT."""
    prefix = "" if namespace == "/" else f"{namespace},"
    body: dict[str, object] = {"message": message}
    if data is not None:
        body["data"] = data
    return text_frame(b"44" + prefix.encode(errors="replace") + to_json(body))


def event_frame(name: str, data: object) -> bytes:
    """An event to a client, to be encoded once for any number of them."""
    return text_frame(b"42" + to_json([name, data]))


def ack_frame(ack: str, answer: bytes) -> bytes:
    """The acknowledgement `ack` with one argument, already JSON."""
    return text_frame(b"43%b[%b]" % (ack.encode(), answer))
