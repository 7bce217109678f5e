"""Passwords: argon2, the same work whether the login exists or not."""

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

# Some 20 ms and 19 MiB each: dear for who guesses, bearable within a web worker.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
SHORTEST, LONGEST = 8, 200
# Of zxcvbn's 0 to 4: from 2 on, a million guesses do not find it. It looks at the beginning of a long one only.
STRONG_ENOUGH, LOOKED_AT = 2, 72
OURS = ("chunshui", "春水", "dangri", "zhutidangri")
# What an account has until its owner has chosen a password: no hash, so that nothing matches.
NONE = "none"


def acceptable(password: str, login: str) -> bool:
    """Whether `password` may be chosen by `login`: neither short nor among what is guessed first, of any characters."""
    if not SHORTEST <= len(password) <= LONGEST:
        return False
    return bool(zxcvbn(password[:LOOKED_AT], user_inputs=[login, *OURS])["score"] >= STRONG_ENOUGH)


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
