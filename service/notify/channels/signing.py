"""An endpoint's signing secrets: one, and during a rotation the one before it too, so that no receiver is caught out.

Both are kept as one piece of bytes, which rests under one seal and changes at once: the secret alone; or the secret,
the one before, and until when that is good.
"""

import secrets as randomness
import struct
from datetime import datetime, timedelta

from standardwebhooks import Webhook

SECRET_BYTES = 32
OVERLAP = timedelta(days=7)
PAIR = struct.Struct(f">{SECRET_BYTES}s{SECRET_BYTES}sq")


def fresh() -> bytes:
    """A new secret."""
    return randomness.token_bytes(SECRET_BYTES)


def rotated(kept: bytes, now: datetime) -> bytes:
    """A new secret, beside which the current one of `kept` stays good for OVERLAP; an older one is not any more."""
    return PAIR.pack(fresh(), current(kept), int((now + OVERLAP).timestamp()))


def current(kept: bytes) -> bytes:
    """The newest secret."""
    return kept[:SECRET_BYTES] if len(kept) == PAIR.size else kept


def valid(kept: bytes, now: datetime) -> list[bytes]:
    """Every secret that is good, the newest first."""
    if len(kept) != PAIR.size:
        return [kept]
    newest, before, until = PAIR.unpack(kept)
    return [newest, before] if now.timestamp() < until else [newest]


def sign(kept: bytes, *, message_id: str, content: str, now: datetime) -> str:
    """The header `webhook-signature`: a signature under every secret that is good."""
    return " ".join(Webhook(secret).sign(message_id, now, content) for secret in valid(kept, now))
