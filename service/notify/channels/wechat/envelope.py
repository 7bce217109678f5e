"""The envelope of WeChat's message push in secure mode: signed, encrypted, bound to the app.

As told by WeChat's page on encrypting and decrypting messages. Only `msg_signature` is looked at, for it alone covers
the message; the other signature, which is sent beside it, proves nothing about a body.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

BLOCK_BYTES = 32
SALT_BYTES = 16
KEY_CHARACTERS = 43


class EnvelopeError(ValueError):
    """Not signed by who knows our token, not for our app, or not intact."""


def signature(*parts: str) -> str:
    """SHA-1 over the parts in the order of their bytes, as WeChat defines it."""
    joined = b"".join(sorted(part.encode() for part in parts))
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def decode_key(text: str) -> bytes:
    """The 32 bytes of an EncodingAESKey; ValueError for anything else."""
    try:
        key = base64.b64decode(f"{text}=", validate=True)
    except ValueError:
        key = b""
    if len(text) != KEY_CHARACTERS or len(key) != BLOCK_BYTES:
        raise ValueError("43 characters of base64")
    return key


@dataclass(frozen=True)
class Seal:
    """What one app shares with WeChat: opens what WeChat sent, and closes answers."""

    appid: str
    token: str = field(repr=False)
    key: bytes = field(repr=False)

    def greets(self, given: str, timestamp: str, nonce: str) -> bool:
        """Whether a greeting (GET) comes from who knows the token."""
        return _same(given, signature(self.token, timestamp, nonce))

    def open(self, encrypted: str, *, given: str, timestamp: str, nonce: str) -> bytes:
        """The message in `encrypted`, whose msg_signature is `given`; EnvelopeError."""
        if not encrypted.isascii():
            raise EnvelopeError("base64")
        if not _same(given, signature(self.token, timestamp, nonce, encrypted)):
            raise EnvelopeError("signature")
        plain = self._decrypt(encrypted)
        body = plain[SALT_BYTES + 4 :]
        (length,) = struct.unpack(">I", plain[SALT_BYTES : SALT_BYTES + 4])
        if length > len(body):
            raise EnvelopeError("length")
        if not hmac.compare_digest(body[length:], self.appid.encode()):
            raise EnvelopeError("appid")
        return body[:length]

    def close(self, message: bytes, salt: bytes) -> str:
        """The other way round, for an answer; `salt` is 16 random bytes."""
        plain = salt + struct.pack(">I", len(message)) + message + self.appid.encode()
        missing = BLOCK_BYTES - len(plain) % BLOCK_BYTES
        encryptor = self._cipher().encryptor()
        padded = plain + bytes([missing]) * missing
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()

    def _decrypt(self, encrypted: str) -> bytes:
        try:
            sealed = base64.b64decode(encrypted, validate=True)
        except binascii.Error:
            raise EnvelopeError("base64") from None
        if not sealed or len(sealed) % 16:
            raise EnvelopeError("length")
        decryptor = self._cipher().decryptor()
        plain = decryptor.update(sealed) + decryptor.finalize()
        missing = plain[-1]
        # Padded to 32, not to AES's 16: an ordinary unpadder takes more than 16 for an error.
        if not 1 <= missing <= BLOCK_BYTES or plain[-missing:] != bytes([missing]) * missing:
            raise EnvelopeError("padding")
        if len(plain) < SALT_BYTES + 4 + missing:
            raise EnvelopeError("length")
        return plain[:-missing]

    def _cipher(self) -> Cipher[CBC]:
        return Cipher(AES256(self.key), CBC(self.key[:16]))


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
