"""Passwords: argon2, the same work whether the login exists or not."""

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# Some 20 ms and 19 MiB each: dear for who guesses, bearable within a web worker.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
SHORTEST, LONGEST = 8, 200
# What an account has until its owner has chosen a password: no hash, so that nothing matches.
NONE = "none"


def acceptable(password: str) -> bool:
    """Whether `password` may be chosen."""
    return SHORTEST <= len(password) <= LONGEST


def hash_of(password: str) -> str:
    """What is stored of `password`."""
    return HASHER.hash(password)


def is_dated(password_hash: str) -> bool:
    """Whether this was hashed with less work than is asked today."""
    return HASHER.check_needs_rehash(password_hash)


def verified(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed; as much work where none was chosen yet."""
    try:
        return HASHER.verify(nobody() if password_hash == NONE else password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def nobody() -> str:
    """The hash that an unknown login is checked against."""
    return HASHER.hash(secrets.token_urlsafe(16))
