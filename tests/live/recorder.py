"""A Wire that writes down what happens to it, and the bytes a client would send."""

import asyncio
import contextlib
import json

from service.live import packets, upgrade, websocket
from service.live.protocol import Wire

SID = "abc"


class Recorder(Wire):
    """Records hooks, texts and bytes instead of acting on them."""

    __slots__ = ("ends", "hooks", "texts", "written")

    budget = 1_000_000  # of which a stream that comes byte by byte takes much

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[tuple[object, ...]] = []
        self.texts: list[str] = []
        self.ends: list[str] = []
        self.written = bytearray()

    def message_limit(self) -> int:
        return 1000

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> None:
        self.ends.append("finish")

    def hang_up(self) -> None:
        self.ends.append("hang_up")

    def refusal(self, request: upgrade.Request) -> str | None:
        return request.headers.get("refuse")

    def greeting(self) -> bytes:
        return SID.encode().join(packets.greeting_around(len(SID), interval=25, timeout=20, limit=1000))

    def answer(self, request: upgrade.Request | None, code: str) -> bytes:
        self.hooks.append(("answer", request, code))
        return upgrade.response(400, json.dumps({"code": code}).encode())

    def connecting(self, auth: dict[str, object]) -> None:
        self.hooks.append(("connecting", auth))
        if auth.get("token") == "bad":
            self.refuse("no", {"code": "token_invalid"})
        else:
            self.accept(SID)

    def disconnecting(self) -> None:
        self.hooks.append(("disconnecting",))

    def event(self, name: str, arguments: list[object], ack: str) -> None:
        self.hooks.append(("event", name, arguments, ack))
        if ack:
            self.write(packets.ack_frame(ack, b"{}"))

    def alive(self) -> None:
        self.hooks.append(("alive",))

    def flooded(self) -> None:
        self.hooks.append(("flooded",))

    def _message(self, payload: bytes) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            self.texts.append(payload.decode())
        super()._message(payload)


class Transport(asyncio.Transport):
    """Takes everything, and ends when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        """Nothing follows."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Any."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self if name == "socket" else default

    def setsockopt(self, *options: object) -> None:
        """Any."""

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True


def opening(target: str = "/socket.io/?EIO=4&transport=websocket", **headers: str) -> bytes:
    """A WebSocket opening request; keyword arguments replace headers, an empty value drops one."""
    fields = {
        "Host": "gateway",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode()


def client_frame(
    payload: bytes, *, opcode: int = websocket.TEXT, first: int | None = None, mask: bytes | None = b"\1\2\3\4"
) -> bytes:
    """A client's frame; `first` replaces the whole first byte."""
    size = len(payload)
    bit = 0x80 if mask is not None else 0
    head = bytes((0x80 | opcode if first is None else first,))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65536:
        head += bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8, "big")
    return head + (payload if mask is None else mask + websocket.unmask(payload, mask))
