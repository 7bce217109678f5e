"""Secrets and personal numbers at rest: sealed by authenticated encryption, found again by a keyed index.

A sealed value says which key made it. A keyring seals with its first key and opens with any, so a key is changed by
putting a new one first and sealing again what the others made. The context is authenticated: what was sealed for one
owner, or one column, does not open for another.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256, SM3, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16
MATERIAL_BYTES = 32
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")


class SealBrokenError(Exception):
    """The value was sealed with another key, for another context, or was changed."""


class Aead(Protocol):
    """Authenticated encryption; the tag is the end of the ciphertext. InvalidTag if that is not what was made."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


class SM4GCM:
    """SM4 in GCM (RFC 8998), in the shape of AESGCM."""

    def __init__(self, key: bytes) -> None:
        self._cipher = SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """The ciphertext, and the tag at its end."""
        encryptor = Cipher(self._cipher, GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data)
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """What was encrypted; ValueError if it is cut short."""
        decryptor = Cipher(self._cipher, GCM(nonce, data[-TAG_BYTES:])).decryptor()
        decryptor.authenticate_additional_data(associated_data)
        return decryptor.update(data[:-TAG_BYTES]) + decryptor.finalize()


@dataclass(frozen=True)
class Suite:
    """Algorithms that are used together; both keys of one are derived with its own hash."""

    aead: Callable[[bytes], Aead]
    key_bytes: int
    hash: Callable[[], HashAlgorithm]


SUITES = {"aes256": Suite(AESGCM, 32, SHA256), "sm4": Suite(SM4GCM, 16, SM3)}


class Key:
    """A key by its id: one half seals, the other indexes."""

    def __init__(self, id: str, suite: Suite, material: bytes) -> None:  # noqa: A002
        sealing = _derived(suite, material, suite.key_bytes, b"chunshui sealing")
        self.fingerprint = hashlib.sha256(b"key id\0" + sealing).digest()[:KEY_ID_BYTES]
        self.id = id or self.fingerprint.hex()
        self._aead = suite.aead(sealing)
        self._mac = HMAC(_derived(suite, material, 32, b"chunshui indexing"), suite.hash())

    def seal(self, plain: bytes, context: str) -> bytes:
        """`plain`, encrypted for `context`."""
        nonce = os.urandom(NONCE_BYTES)
        return self.fingerprint + nonce + self._aead.encrypt(nonce, plain, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What this key sealed for `context`; SealBrokenError otherwise."""
        nonce, body = sealed[KEY_ID_BYTES:][:NONCE_BYTES], sealed[KEY_ID_BYTES + NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError):
            # ValueError: cut short.
            raise SealBrokenError("changed, or sealed for another context") from None

    def index(self, value: bytes, context: str) -> bytes:
        """The same 32 bytes for the same value and context; without the key they tell nothing of it."""
        mac = self._mac.copy()
        mac.update(context.encode() + b"\0" + value)
        return mac.finalize()


class Keyring:
    """Keys of which the first one seals and all open."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self.current = self.keys[0]
        self._by_fingerprint = {key.fingerprint: key for key in self.keys}

    def seal(self, plain: bytes, context: str) -> bytes:
        """`plain`, encrypted for `context` under the current key."""
        return self.current.seal(plain, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What was sealed for `context` under one of the keys; SealBrokenError otherwise."""
        key = self._by_fingerprint.get(sealed[:KEY_ID_BYTES])
        if key is None:
            raise SealBrokenError("sealed with an unknown key")
        return key.unseal(sealed, context)

    def is_current(self, sealed: bytes) -> bool:
        """Whether `sealed` was made with the current key, and not with a key before it."""
        return sealed[:KEY_ID_BYTES] == self.current.fingerprint

    def indexes(self, value: bytes, context: str) -> list[bytes]:
        """Where a value may be found: its index under every key, the current one's first."""
        return [key.index(value, context) for key in self.keys]


@lru_cache(maxsize=8)
def of_secrets(secrets: tuple[str, ...]) -> Keyring:
    """The keyring of SECRET_KEY and the one before it."""
    return Keyring([Key("", SUITES["aes256"], secret.encode()) for secret in secrets])


@lru_cache(maxsize=8)
def of_setting(text: str) -> Keyring:
    """The keyring that a setting spells: `id:suite:material in base64`, by commas. ValueError says what is wrong."""
    keys = [_spelled(one.strip()) for one in text.split(",") if one.strip()]
    if not keys or len({key.id for key in keys}) < len(keys):
        raise ValueError("at least one key, and no id twice")
    return Keyring(keys)


def _spelled(text: str) -> Key:
    name, suite, material = [*text.split(":"), "", ""][:3]
    if not KEY_ID.fullmatch(name) or suite not in SUITES:
        raise ValueError(f"needs id:suite:base64, with a suite of {', '.join(SUITES)}")
    try:
        decoded = base64.b64decode(material, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) < MATERIAL_BYTES:
        raise ValueError(f"key {name}: at least {MATERIAL_BYTES} random bytes in base64")
    return Key(name, SUITES[suite], decoded)


def _derived(suite: Suite, material: bytes, length: int, purpose: bytes) -> bytes:
    return HKDF(algorithm=suite.hash(), length=length, salt=None, info=purpose).derive(material)
