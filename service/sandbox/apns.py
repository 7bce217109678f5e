"""APNs over real HTTP/2: provider tokens are verified, devices can be gone, and a GOAWAY may come at any time.

A fault of the kind `apns` has a code of status and reason, such as `410 Unregistered`, or `goaway`, or `lost_reply`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.sandbox.faults import Fault, Faults

TEAM, KEY_ID, TOPIC = "SANDBOXTEAM", "SANDBOXKEY", "cn.chunshui.sandbox"
# A key that everybody knows, so that it can be made anywhere and guards nothing.
KEY = ec.derive_private_key(0x5A4D_B0C5, ec.SECP256R1())
HOUR, REST_SECONDS = 3600, 1200
MAX_PAYLOAD_BYTES = 4096


def private_key() -> str:
    """The key that the stand-in trusts, as a .p8 file has it."""
    return KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@dataclass(frozen=True)
class Reply:
    """Status, and why it is not 200."""

    status: int
    reason: str = ""
    timestamp: int | None = None


class Apns:
    """The rules of one environment; `clock` tells the time."""

    def __init__(self, faults: Faults, clock: Callable[[], float] = time.time) -> None:
        self.faults, self._clock = faults, clock
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._read: dict[str, tuple[object, object, object]] = {}

    def judge(self, headers: Mapping[str, str], body: bytes, known: dict[str, float]) -> Reply:
        """The answer; `known` has the provider tokens of this connection and when each was first seen."""
        if (refusal := self._stranger(headers.get("authorization", ""), known)) is not None:
            return refusal
        device = headers.get(":path", "").removeprefix("/3/device/")
        if headers.get("apns-topic") != TOPIC:
            return Reply(400, "TopicDisallowed")
        if len(body) > MAX_PAYLOAD_BYTES:
            return Reply(413, "PayloadTooLarge")
        if len(headers.get("apns-collapse-id", "")) > 64:
            return Reply(400, "BadCollapseId")
        if not device or set(device) - set("0123456789abcdefABCDEF"):
            return Reply(400, "BadDeviceToken")
        if (fault := self.faults.happens("apns", device)) is not None:
            return self._faulty(fault)
        self.told.append((device, json.loads(body)))
        return Reply(200)

    def _faulty(self, fault: Fault) -> Reply:
        if fault.code in ("goaway", "lost_reply"):
            return Reply(0, fault.code)
        status, _, reason = fault.code.partition(" ")
        return Reply(int(status), reason, int(self._clock() * 1000) if status == "410" else None)

    def _stranger(self, authorization: str, known: dict[str, float]) -> Reply | None:
        """What is wrong with the provider token, if anything."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Reply(403, "MissingProviderToken")
        try:
            kid, team, issued = self._claims(token)
        except jwt.InvalidTokenError:
            return Reply(403, "InvalidProviderToken")
        now = self._clock()
        if kid != KEY_ID or team != TEAM or not isinstance(issued, int) or issued > now + 60:
            return Reply(403, "InvalidProviderToken")
        if now - issued > HOUR:
            return Reply(403, "ExpiredProviderToken")
        if token not in known:
            if known and now - max(known.values()) < REST_SECONDS:
                return Reply(429, "TooManyProviderTokenUpdates")
            known[token] = now
        return None

    def _claims(self, token: str) -> tuple[object, object, object]:
        """Key id, team and time of issue of a token that is signed as it should be; each is verified once."""
        if token not in self._read:
            kid = jwt.get_unverified_header(token).get("kid")
            claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False})
            self._read[token] = (kid, claims.get("iss"), claims.get("iat"))
        return self._read[token]


class Connection(asyncio.Protocol):
    """One HTTP/2 connection, with or without TLS before it."""

    def __init__(self, apns: Apns) -> None:
        self._apns = apns
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._known: dict[str, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the preface."""
        self._transport = cast(asyncio.Transport, transport)
        self._state.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        try:
            for event in self._state.receive_data(data):
                self._take(event)
            self._flush()
        except h2.exceptions.ProtocolError:
            self._flush()
            self._transport.close()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self._requests[event.stream_id] = (headers, bytearray())
        elif isinstance(event, h2.events.DataReceived):
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self._requests:
                self._requests[event.stream_id][1].extend(event.data)
        elif isinstance(event, h2.events.StreamReset):
            self._requests.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._requests:
            headers, body = self._requests.pop(event.stream_id)
            self._answer(event.stream_id, headers, self._apns.judge(headers, bytes(body), self._known))

    def _answer(self, stream: int, headers: Mapping[str, str], reply: Reply) -> None:
        if reply.reason == "goaway":
            # This stream and all after it were not heard.
            self._state.close_connection(last_stream_id=stream - 2 if stream > 1 else 0)
            self._flush()
            self._transport.close()
            return
        if reply.reason == "lost_reply":
            return
        fields = [(":status", str(reply.status)), ("apns-id", headers.get("apns-id", ""))]
        told = {"reason": reply.reason} | ({"timestamp": reply.timestamp} if reply.timestamp else {})
        self._state.send_headers(stream, fields, end_stream=not reply.reason)
        if reply.reason:
            self._state.send_data(stream, json.dumps(told).encode(), end_stream=True)

    def _flush(self) -> None:
        data = self._state.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)


async def serve(apns: Apns, *, host: str, port: int, tls: Any = None) -> asyncio.Server:
    """A listening server; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(
        lambda: Connection(apns), host, port, ssl=tls, reuse_port=True
    )
