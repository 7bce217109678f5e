"""The keys of the audit log: one that pseudonyms, notes and links are made with, and one that signs anchors.

Whoever can write the database but holds neither can change nothing unnoticed; whoever holds the first one too
cannot change what an anchor covers.
"""

import hmac
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from service.config import Config

KEY_ID_BYTES = 8


class KeyFileError(ValueError):
    """A key file that cannot be used; the message names it."""


def chain_keys(config: Config) -> dict[bytes, bytes]:
    """The keys that notes and links may have been made with, by their ids; the first one is the current one."""
    return {key_id(key): key for key in (_derived(secret, b"chain") for secret in config.audit_secrets)}


def pseudonym_key(config: Config) -> bytes:
    """The key of pseudonyms."""
    return _derived(config.audit_secrets[0], b"pseudonym")


def pseudonym_keys(config: Config) -> list[bytes]:
    """The keys that a pseudonym may have been made with."""
    return [_derived(secret, b"pseudonym") for secret in config.audit_secrets]


def signing_key(config: Config) -> Ed25519PrivateKey:
    """The key of AUDIT_SIGNING_KEY_FILE; without one a key made from AUDIT_KEY, so that who has that can sign."""
    if not config.audit_signing_key_file:
        return Ed25519PrivateKey.from_private_bytes(_derived(config.audit_secrets[0], b"anchor"))
    key = load_pem_private_key(_read(Path(config.audit_signing_key_file)), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{config.audit_signing_key_file}: not an Ed25519 private key")
    return key


def public_keys(config: Config, files: Iterable[Path] = ()) -> Mapping[bytes, Ed25519PublicKey]:
    """The keys that an anchor may have been signed with, by their ids: those in `files`, and the one in our own file.

    Without any file, those made from the secrets.
    """
    keys = [_public(file) for file in files]
    if config.audit_signing_key_file:
        keys.append(signing_key(config).public_key())
    elif not keys:
        seeds = (_derived(secret, b"anchor") for secret in config.audit_secrets)
        keys += [Ed25519PrivateKey.from_private_bytes(seed).public_key() for seed in seeds]
    return {key_id(key.public_bytes_raw()): key for key in keys}


def key_id(key: bytes) -> bytes:
    """A name for a key that tells nothing else of it."""
    return sha256(b"chunshui audit key id\0" + key).digest()[:KEY_ID_BYTES]


def mac(key: bytes, purpose: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 of `parts`, each with its length, so that no two lists of parts are one text."""
    message = b"".join(len(part).to_bytes(8) + part for part in (purpose, *parts))
    return hmac.digest(key, message, "sha256")


@lru_cache(maxsize=32)
def _derived(secret: str, purpose: bytes) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"chunshui audit " + purpose)
    return derivation.derive(secret.encode())


def _public(file: Path) -> Ed25519PublicKey:
    key = load_pem_public_key(_read(file))
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{file}: not an Ed25519 public key")
    return key


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{file}: {error.strerror}") from None
