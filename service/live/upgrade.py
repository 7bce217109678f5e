"""The HTTP side of the gateway: one request head is read, and upgraded or refused.

Sans-IO. Promises: no bytes whatever raise; a request is upgraded only when it is a complete and correct WebSocket
opening for Engine.IO 4; every other one gets the code of a refusal, which the gateway words as a problem document.
"""

import binascii
import re
from functools import lru_cache
from hashlib import sha1
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs

HEAD_LIMIT: Final = 8192
SHORT_HEAD: Final = 1024
SOCKET_PATHS: Final = frozenset({"/socket.io/", "/socket.io"})

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = b"\r\nSec-WebSocket-Key: "
_SOME_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="
_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.1\r\n")
_FIELDS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")
_UNIQUE = frozenset({"host", "sec-websocket-key", "sec-websocket-version"})
_REPEATABLE = frozenset(
    {"connection", "forwarded", "sec-websocket-extensions", "sec-websocket-protocol", "upgrade", "x-forwarded-for"}
)


class Request(NamedTuple):
    """One request head: header names in lower case, repeated list headers joined by commas."""

    method: str
    path: str
    query: str
    headers: dict[str, str]

    def asks_upgrade(self) -> bool:
        """Whether the client wants a WebSocket at all."""
        return self.headers.get("upgrade", "").lower() == "websocket"


class Opening(NamedTuple):
    """What a request head means: the request, the code of the refusal that it earns or None, and its key.

    The request is shared by all who send the same but for the key, which it does not hold.
    """

    request: Request | None
    code: str | None
    key: bytes


def read_opening(head: bytes) -> Opening:
    """Read and judge `head`, which ends with its empty line; what differs in the key alone is judged once."""
    start = head.find(_KEY) + len(_KEY)
    end = start + len(_SOME_KEY)
    key = head[start:end]
    if start < len(_KEY) or head[end : end + 2] != b"\r\n" or len(head) > SHORT_HEAD or not _is_key(key):
        return _judge(head)
    request, code, _ = _judge_short(head[:start] + _SOME_KEY + head[end:])
    return Opening(request, code, key)


def _judge(head: bytes) -> Opening:
    request = read_request(head)
    if request is None:
        return Opening(None, "bad_request", b"")
    return Opening(request, refusal(request), request.headers.get("sec-websocket-key", "").encode("latin-1"))


_judge_short = lru_cache(maxsize=256)(_judge)


def read_request(head: bytes) -> Request | None:
    """The request in `head` (which ends with its empty line), or None when it is not proper HTTP/1.1."""
    text = head[:-2].decode("latin-1")
    line = _REQUEST_LINE.match(text)
    if line is None or _FIELDS.fullmatch(text, line.end()) is None:
        return None
    headers = _read_fields(text[line.end() : -2])
    if headers is None:
        return None
    path, _, query = line[2].partition("?")
    return Request(line[1], path, query, headers)


def _read_fields(text: str) -> dict[str, str] | None:
    if not text:
        return {}
    pairs = [field.split(":", 1) for field in text.split("\r\n")]
    headers = {name.lower(): value.strip(" \t") for name, value in pairs}
    return headers if len(headers) == len(pairs) else _join_repeated(pairs)


def _join_repeated(pairs: list[list[str]]) -> dict[str, str] | None:
    """Headers of which some came more than once: lists are joined, of others the last one counts."""
    headers: dict[str, str] = {}
    for name, value in ((name.lower(), value.strip(" \t")) for name, value in pairs):
        if name in headers and name in _UNIQUE:
            return None
        headers[name] = f"{headers[name]}, {value}" if name in headers and name in _REPEATABLE else value
    return headers


def refusal(request: Request) -> str | None:
    """The code of the refusal that this request earns, or None when it may be upgraded."""
    if request.path not in SOCKET_PATHS:
        return "not_found"
    if not _speaks_engineio(request.query):
        return "transport_unsupported"
    if not request.asks_upgrade():
        return "upgrade_required"
    headers = request.headers
    if headers.get("sec-websocket-version") != "13":
        return "websocket_version"
    if (
        request.method != "GET"
        or "upgrade" not in headers.get("connection", "").lower()
        or "transfer-encoding" in headers
        or headers.get("content-length", "0") != "0"
        or not _is_key(headers.get("sec-websocket-key", ""))
    ):
        return "websocket_invalid"
    return None


@lru_cache(maxsize=256)  # nearly all clients send the same few
def _speaks_engineio(query: str) -> bool:
    try:
        fields = parse_qs(query, max_num_fields=16)
    except ValueError:
        return False
    return fields.get("EIO") == ["4"] and fields.get("transport") == ["websocket"]


def _is_key(key: str | bytes) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except ValueError:
        return False


def switching(key: bytes) -> bytes:
    """The 101 answer to an accepted request; extensions and subprotocols are declined by silence."""
    digest = binascii.b2a_base64(sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % digest
    )


def response(status: int, body: bytes, *, kind: str = "application/json", extra: dict[str, str] | None = None) -> bytes:
    """A whole plain HTTP answer, after which the connection closes."""
    fields = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **(extra or {}),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode("latin-1") + body
