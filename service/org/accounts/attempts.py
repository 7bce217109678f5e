"""Failed log-ins: after a few, each costs a longer wait, for that login from that browser only.

A browser that once logged in successfully is known by a signed cookie and counted apart from all unknown ones, so that
who guesses at a login from elsewhere keeps nobody out who uses a known browser. No wait is longer than a quarter of an
hour, and the code of a recovery is asked for no wait at all: nobody can be locked out for good. Logins that no account
has are counted alike.
"""

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, text

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.models import LoginAttempts

FREE = 5
FIRST_WAIT, LONGEST_WAIT = 30, 900
FORGOTTEN = timedelta(hours=24)

# One statement, so that guesses made at once are counted one by one; it counts before the password is looked at.
COUNT = text(
    """
    INSERT INTO login_attempts AS a (login_hash, device, failures, last_at, open_at)
    VALUES (:login, :device, 1, :now, :now)
    ON CONFLICT (login_hash, device) DO UPDATE SET
        failures = CASE WHEN a.last_at < :forgotten THEN 1 ELSE a.failures + 1 END,
        last_at = :now,
        open_at = CASE WHEN a.last_at < :forgotten OR a.failures + 1 < :free THEN :now ELSE CAST(:now AS timestamptz)
            + make_interval(secs => least(:longest, :first * 2 ^ least(a.failures + 1 - :free, 20))) END
    WHERE a.open_at <= :now
    RETURNING failures
    """
)
OPENS = text("SELECT open_at FROM login_attempts WHERE login_hash = :login AND device = :device")
TAKE_BACK = text(
    """
    UPDATE login_attempts SET failures = greatest(failures - 1, 0), open_at = :now
    WHERE login_hash = :login AND device = :device
    """
)


def count(login: str, device: bytes, now: datetime) -> None:
    """Count an attempt as failed before it is made. Commits. ServiceError login_locked while a wait lasts."""
    key = {"login": hashed(login), "device": device}
    waits = {"free": FREE, "first": FIRST_WAIT, "longest": LONGEST_WAIT}
    counted = db.session.scalar(COUNT, {**key, **waits, "now": now, "forgotten": now - FORGOTTEN})
    opens = db.session.scalar(OPENS, key) if counted is None else None
    db.session.commit()
    if counted is None:
        # It was taken back, or forgotten, in between.
        seconds = (opens - now).total_seconds() if opens is not None else 1.0
        raise ServiceError("login_locked", retry_after=max(1, round(seconds)))


def take_back(login: str, device: bytes, now: datetime) -> None:
    """What was counted was no failure, but no success either; in the caller's transaction."""
    db.session.execute(TAKE_BACK, {"login": hashed(login), "device": device, "now": now})


def forget(login: str, device: bytes | None = None) -> None:
    """Forget the failures from `device`, without it those from everywhere, in the caller's transaction."""
    gone = delete(LoginAttempts).where(LoginAttempts.login_hash == hashed(login))
    db.session.execute(gone if device is None else gone.where(LoginAttempts.device == device))


def prune(now: datetime) -> None:
    """Forget what is old. Commits."""
    db.session.execute(delete(LoginAttempts).where(LoginAttempts.last_at < now - FORGOTTEN))
    db.session.commit()


def mark_device(login: str, secret: str) -> str:
    """The value of the cookie by which a browser that logged in with `login` is known."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{_signature(nonce, login, secret)}"


def known_device(cookie: str | None, login: str, keys: Sequence[str]) -> bytes:
    """The browser that `cookie` marks for `login`; empty if it is not known."""
    nonce, _, signature = (cookie or "").partition(".")
    for key in keys:
        # As bytes: a cookie may hold anything.
        if hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(nonce, login, key).encode()):
            return sha256(nonce.encode("utf-8", "replace")).digest()
    return b""


def hashed(login: str) -> bytes:
    """What is stored of a login."""
    return sha256(b"login\0" + login.encode("utf-8", "replace")).digest()


def _signature(nonce: str, login: str, key: str) -> str:
    derived = sha256(b"chunshui known device\0" + key.encode()).digest()
    return hmac.new(derived, f"{nonce}\0{login}".encode("utf-8", "replace"), sha256).hexdigest()
