"""Secrets at rest: AES-256-GCM under a key derived from SECRET_KEY.

A sealed value says which key made it, so a change of SECRET_KEY leaves it readable as long as the old one is
PREVIOUS_SECRET_KEY. The context is authenticated: what was sealed for one owner does not open for another.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_ID_BYTES = 8
NONCE_BYTES = 12


class SealBrokenError(Exception):
    """The value was sealed with another key, for another context, or was changed."""


def seal(plain: bytes, *, secret: str, context: str) -> bytes:
    """`plain`, encrypted for `context` under `secret`."""
    nonce = os.urandom(NONCE_BYTES)
    key = _key(secret)
    return _key_id(key) + nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def unseal(sealed: bytes, *, secrets: Sequence[str], context: str) -> bytes:
    """What was sealed for `context` under one of `secrets`; SealBrokenError otherwise."""
    head, nonce, body = _split(sealed)
    for key in map(_key, secrets):
        if _key_id(key) == head:
            try:
                return AESGCM(key).decrypt(nonce, body, context.encode())
            except (InvalidTag, ValueError):
                # ValueError: cut short.
                raise SealBrokenError("changed, or sealed for another context") from None
    raise SealBrokenError("sealed with an unknown key")


def is_current(sealed: bytes, secret: str) -> bool:
    """Whether `sealed` was made with `secret`, and not with a key before it."""
    return sealed[:KEY_ID_BYTES] == _key_id(_key(secret))


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    end = KEY_ID_BYTES + NONCE_BYTES
    return sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:end], sealed[end:]


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"chunshui sealing")
    return derivation.derive(secret.encode())


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id\0" + key).digest()[:KEY_ID_BYTES]
