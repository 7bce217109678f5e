"""Certificates of activity (流动党员活动证): a member shows one at another branch, which checks it without us.

A certificate is a JSON Web Token signed with Ed25519 and good for minutes. Whoever has the public key, from
`/api/v1/certificates/keys` or a file, can tell with any JWT library, or `chunshui certificate verify`, that it is ours.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import jwt
import segno
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Member
from service.org.people import attachments
from service.org.people.scope import day
from service.org.people.standings import is_member
from service.org.roster import MemberFacts
from service.scope import scoped

ISSUER = "chunshui"
# Of a reader whose clock is a little behind ours.
LEEWAY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A token, when it ends, and the same as a QR code (SVG)."""

    token: str
    expires_at: datetime
    qr: str


def issue(member: MemberFacts, name: str, *, secret: str, seconds: int, now: datetime) -> Certificate:
    """A certificate of a member who has not left: name, home branch, and the branches that received him today."""
    if member.status == "left":
        raise ServiceError("forbidden")
    expires = now + timedelta(seconds=seconds)
    received = attachments.active(member.id, day(now))
    claims = {
        "iss": ISSUER,
        "sub": str(member.id),
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
        "name": name,
        "home": {"id": member.organisation_id, "name": member.organisation_name},
        "received": [
            {"id": one.organisation_id, "name": one.organisation.name, "since": one.starts_on.isoformat()}
            for one in received
        ],
    }
    token = jwt.encode(claims, signing_key(secret), algorithm="EdDSA", headers={"kid": public_key(secret)["kid"]})
    return Certificate(token, expires, segno.make(token, error="l").svg_inline(scale=3))


def verify(token: str, keys: Sequence[Mapping[str, str]], now: datetime) -> dict[str, Any]:
    """What a certificate says; ServiceError certificate_invalid unless one of `keys` signed it and it is good now."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = next((one for one in keys if one.get("kid") == kid), None)
        if key is None:
            raise ServiceError("certificate_invalid", reason="key")
        # The time is ours to look at: the library reads the clock by itself.
        claims: dict[str, Any] = jwt.decode(
            token, jwt.PyJWK(dict(key)).key, algorithms=["EdDSA"], issuer=ISSUER, options=WITHOUT_CLOCK
        )
        if not claims["iat"] - LEEWAY.total_seconds() <= now.timestamp() < claims["exp"] + LEEWAY.total_seconds():
            raise ServiceError("certificate_invalid", reason="expired")
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise ServiceError("certificate_invalid", reason="signature") from None
    return claims


def holder(token: str, *, secrets: Sequence[str], now: datetime) -> Member:
    """The member whose certificate this is; ServiceError certificate_invalid, also if he has left since."""
    claims = verify(token, [public_key(secret) for secret in secrets], now)
    question = scoped(select(Member), Member.id == int(claims["sub"]), is_member())
    found = db.session.scalar(question)
    if found is None:
        raise ServiceError("certificate_invalid", reason="holder")
    return found


WITHOUT_CLOCK: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "iat", "exp"]}


@lru_cache(maxsize=8)
def signing_key(secret: str) -> Ed25519PrivateKey:
    """The private key: derived from a secret, so that every process has the same one."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"chunshui certificates").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(maxsize=8)
def public_key(secret: str) -> dict[str, str]:
    """The public key as a JWK (RFC 8037), named by its thumbprint (RFC 7638)."""
    raw = signing_key(secret).public_key().public_bytes_raw()
    key = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    thumbprint = sha256(json.dumps(key, separators=(",", ":")).encode()).digest()
    return {**key, "kid": _base64url(thumbprint), "alg": "EdDSA", "use": "sig"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
