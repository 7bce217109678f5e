"""Access tokens: signed by HMAC, read without a database.

A token is two base64url parts, payload and signature. The payload carries what every door needs to decide:
member number, organisation path, place path, scopes, session, issue and expiry time.
"""

import base64
import binascii
import hashlib
import hmac
import json
import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from service.errors import ServiceError

# From the URL-safe alphabet of base64 to the standard one, which is what the fast decoder reads.
_STANDARD = bytes.maketrans(b"-_", b"+/")
_read_json = json.JSONDecoder().raw_decode
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Actor(NamedTuple):
    """Who calls: a member number with its home organisation's and present place's paths."""

    member: int
    organisation: str
    place: str
    scopes: frozenset[str]
    session: int
    issued_at: int
    expires_at: int


class DenyList:
    """Sessions whose access tokens are refused; replaced as a whole, never edited.

    By session, not by a moment of issue: a log-in within the second of a log-out must work while the old token
    must not, and who logs out on one phone stays logged in on the other.
    """

    __slots__ = ("sessions",)

    def __init__(self, sessions: Iterable[int] = ()) -> None:
        self.sessions = frozenset(sessions)

    def denies(self, actor: Actor) -> bool:
        """Whether the session that `actor`'s token belongs to has been revoked."""
        return actor.session in self.sessions


def issue_access(
    secret: str,
    *,
    member: int,
    organisation: str,
    place: str,
    session: int = 0,
    scopes: Sequence[str] = ("member",),
    now: datetime,
    seconds: int,
) -> str:
    """A token good for up to `seconds`, cut by a random tenth so that a day's log-ins do not expire at once."""
    issued = int(now.timestamp())
    expires = issued + seconds - random.randrange(seconds // 10 + 1)
    fields = [member, organisation, place, list(scopes), session, issued, expires]
    payload = _encode(json.dumps(fields, separators=(",", ":")).encode())
    return f"{payload}.{_encode(_sign(secret, payload))}"


def read_access(secrets: Sequence[str], token: str, now: datetime) -> Actor:
    """The actor of `token`; ServiceError token_invalid or token_expired."""
    payload, _, signature = token.partition(".")
    given = _decode(signature)
    for secret in secrets:
        if hmac.compare_digest(_sign(secret, payload), given):
            break
    else:
        raise ServiceError("token_invalid")
    member, organisation, place, scopes, session, issued, expires = _read_json(_decode(payload).decode())[0]
    if now.timestamp() >= expires:
        raise ServiceError("token_expired")
    return Actor(member, organisation, place, frozenset(scopes), session, issued, expires)


@lru_cache(maxsize=4)
def _states(secret: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """SHA-256 after HMAC's inner and after its outer block (RFC 2104): begun once, two copies a signature."""
    # A purpose of its own: no other signature made with the same secret can pass for a token.
    key = hashlib.sha256(b"chunshui access token\0" + secret.encode()).digest().ljust(64, b"\0")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))


def _sign(secret: str, payload: str) -> bytes:
    begun, ending = _states(secret)
    inner, outer = begun.copy(), ending.copy()
    inner.update(payload.encode("utf-8", "surrogatepass"))
    outer.update(inner.digest())
    return outer.digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + b"=" * (-len(text) % 4))
    except ValueError:
        raise ServiceError("token_invalid") from None
