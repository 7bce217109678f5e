"""A code: which gate shows it, for which sitting, in which slot of time, with a nonce and a MAC over all of it.

A code is good in its slot of 15 seconds and a margin on either side, for the clock of the gate and the way of the
request. Who has the picture of an old one has nothing: without the gate's key no fresh one can be made of it.
"""

import base64
import binascii
import hmac
import secrets
import struct
from dataclasses import dataclass
from datetime import datetime

SLOT_SECONDS = 15
MARGIN_SECONDS = 10
VERSION = 1
BODY = struct.Struct(">BQQI8s")
MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """What a code says; `holds_for` tells whether a gate with a key said it."""

    gate: int
    sitting: int
    slot: int
    body: bytes
    mac: bytes

    def holds_for(self, key: bytes) -> bool:
        """Whether the holder of the key made it."""
        return hmac.compare_digest(self.mac, mac_of(key, self.body))

    def is_fresh(self, now: datetime) -> bool:
        """Whether its slot is now, give or take the margin."""
        age = now.timestamp() - self.slot * SLOT_SECONDS
        return -MARGIN_SECONDS <= age < SLOT_SECONDS + MARGIN_SECONDS


def gate_key(secret: str, gate: int, generation: int) -> bytes:
    """The key of a gate since its last pairing."""
    return hmac.digest(secret.encode(), b"gate" + struct.pack(">QQ", gate, generation), "sha256")


def show(key: bytes, *, gate: int, sitting: int, now: datetime) -> str:
    """A fresh code, as a wall shows it."""
    body = BODY.pack(VERSION, gate, sitting, int(now.timestamp()) // SLOT_SECONDS, secrets.token_bytes(8))
    return base64.urlsafe_b64encode(body + mac_of(key, body)).decode()


def read(code: str) -> Claim | None:
    """What a code says, proven or not; None if it is none, or not written as one is."""
    try:
        raw = base64.b64decode(code.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) != BODY.size + MAC_BYTES or raw[0] != VERSION:
        return None
    body = raw[: BODY.size]
    _, gate, sitting, slot, _ = BODY.unpack(body)
    return Claim(gate, sitting, slot, body, raw[BODY.size :])


def proof_of(key: bytes) -> bytes:
    """What shows the server that a device has the key: never shown on a wall, and no code can be made of it."""
    return hmac.digest(key, b"state", "sha256")


def mac_of(key: bytes, body: bytes) -> bytes:
    """The code's MAC; its length is fixed, and a shorter one is no code."""
    return hmac.digest(key, body, "sha256")[:MAC_BYTES]
