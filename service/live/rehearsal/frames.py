"""The bytes of a member's WebSocket, client side: pure functions, no I/O.

Only what a Socket.IO server over WebSocket sends to a small client: whole text frames and control frames.
"""

import base64
import hashlib
import json
import struct
from dataclasses import dataclass

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
JOIN, LEAVE, REPEAT = 0, 1, 2  # acknowledgement ids, the same on every connection
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FrameError(Exception):
    """The server sent a frame that no Socket.IO server sends."""


def masked(opcode: int, payload: bytes, key: bytes) -> bytes:
    """One whole client frame, masked with `key`."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    pad = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + key + mixed.to_bytes(size, "big")


def split(data: bytes, start: int = 0) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames (opcode, payload) in `data` from `start`, and the bytes left over for the next call."""
    found: list[tuple[int, bytes]] = []
    end = len(data)
    while end - start >= 2:
        opcode, size, body = data[start], data[start + 1], start + 2
        if size == 126:
            body, size = start + 4, int.from_bytes(data[start + 2 : start + 4], "big")
        elif size == 127:
            body, size = start + 10, int.from_bytes(data[start + 2 : start + 10], "big")
        elif size > 127:
            raise FrameError("masked by the server")
        if body > end or body + size > end:
            break
        if opcode & 0xF0 != 0x80 or not opcode & 0x0F:
            raise FrameError("fragmented or compressed")
        found.append((opcode & 0x0F, data[body : body + size]))
        start = body + size
    return found, data[start:] if start else data


@dataclass(frozen=True, slots=True)
class Wire:
    """Frames that all connections of a process to one stream share, made once."""

    key: bytes
    upgrade: bytes
    accept: bytes
    join: bytes
    repeat: bytes
    leave: bytes
    departure: bytes
    pong: bytes
    goodbye: bytes

    def text(self, payload: bytes) -> bytes:
        """A masked text frame."""
        return masked(TEXT, payload, self.key)

    def connect(self, auth: dict[str, str]) -> bytes:
        """The CONNECT packet of the default namespace."""
        return self.text(b"40" + json.dumps(auth, separators=(",", ":")).encode())


def prepare(*, host: str, stream: int, random: bytes) -> Wire:
    """Make the shared frames; `random` is 20 bytes for the mask and the handshake's key."""
    key, nonce = random[:4], base64.b64encode(random[4:20])
    accept = base64.b64encode(hashlib.sha1(nonce + _GUID, usedforsecurity=False).digest())
    upgrade = (
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {nonce.decode()}\r\n\r\n"
    ).encode()

    def event(name: str, number: int | str = "") -> bytes:
        packet = f'42{number}["{name}",{{"stream":{stream}}}]'
        return masked(TEXT, packet.encode(), key)

    return Wire(
        key=key,
        upgrade=upgrade,
        accept=accept,
        join=event("join", JOIN),
        repeat=event("join", REPEAT),
        leave=event("leave", LEAVE),
        departure=event("leave"),
        pong=masked(TEXT, b"3", key),
        goodbye=masked(TEXT, b"41", key) + masked(CLOSE, struct.pack("!H", 1000), key),
    )
