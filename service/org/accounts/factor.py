"""The second factor: an authenticator (RFC 6238, thirty seconds, six digits) and ten codes for the day it is lost.

The authenticator's secret rests sealed for its account; a code is good once, also within its half minute.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import pyotp
import structlog
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from service import audit, sealing
from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.models import RecoveryCode, SecondFactor
from service.org.accounts.notes import note

ISSUER = "春水"
DIGITS, STEP_SECONDS = 6, 30
# A phone's clock may be half a minute off.
STEPS_OFF = 1
CODES = 10
# No letter or digit that a person mistakes for another; 16 of them are 79 bits, so SHA-256 alone protects a code.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXY"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pending:
    """A new authenticator's secret, shown until a code confirms it."""

    secret: str
    uri: str


def is_set_up(account: int) -> bool:
    """Whether the account has a confirmed authenticator."""
    return db.session.scalar(_in_force(account)) is not None


def begin(account: int, *, key: str) -> None:
    """A new authenticator for the account, to be confirmed; the one that is in force stays so until then. Commits."""
    sealed = sealing.of_secrets((key,)).seal(pyotp.random_base32().encode(), _context(account))
    row = upsert(SecondFactor).values(organiser_id=account, pending_ciphertext=sealed)
    db.session.execute(row.on_conflict_do_update(index_elements=["organiser_id"], set_={"pending_ciphertext": sealed}))
    db.session.commit()


def pending(account: int, login: str, *, keys: Sequence[str]) -> Pending:
    """The authenticator that waits to be confirmed; ServiceError not_found without one."""
    sealed = db.session.scalar(select(SecondFactor.pending_ciphertext).where(SecondFactor.organiser_id == account))
    secret = _unsealed(account, sealed, keys)
    if secret is None:
        raise ServiceError("not_found")
    return Pending(secret, pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER))


def confirm(account: int, code: str, *, keys: Sequence[str], now: datetime) -> list[str]:
    """Put the waiting authenticator into force with a `code` from it, in the caller's transaction; new recovery codes.

    ServiceError not_found without one, code_wrong.
    """
    waiting = select(SecondFactor).where(SecondFactor.organiser_id == account).with_for_update()
    factor = db.session.scalars(waiting).one_or_none()
    secret = _unsealed(account, factor.pending_ciphertext, keys) if factor else None
    if factor is None or secret is None:
        raise ServiceError("not_found")
    step = _step_of(secret, code, now)
    if step is None:
        raise ServiceError("code_wrong")
    factor.secret_ciphertext, factor.pending_ciphertext, factor.last_step = factor.pending_ciphertext, None, step
    note("account.changed", by=account, now=now, change="second_factor")
    return _renew_codes(account)


def passes(account: int, code: str, *, keys: Sequence[str], now: datetime) -> bool:
    """Whether `code` is the authenticator's, or a recovery code; it is used up, in the caller's transaction."""
    compact = normal(code)
    if len(compact) == DIGITS and compact.isascii() and compact.isdigit():
        return _takes_step(account, compact, keys, now)
    used = update(RecoveryCode).where(RecoveryCode.organiser_id == account, RecoveryCode.used_at.is_(None))
    matching = used.where(RecoveryCode.code_hash == hashed(code)).values(used_at=now)
    if db.session.scalar(matching.returning(RecoveryCode.organiser_id)) is None:
        return False
    note("account.changed", by=account, now=now, change="recovery_code_used")
    return True


def remove(account: int) -> None:
    """Forget the authenticator and its codes, in the caller's transaction."""
    db.session.execute(delete(SecondFactor).where(SecondFactor.organiser_id == account))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.organiser_id == account))


def reseal(keys: Sequence[str], now: datetime) -> int:
    """Seal with the first of `keys` what another one sealed; how many, noted if any. Commits."""
    done = 0
    for factor in db.session.scalars(select(SecondFactor)):
        done += sum(_reseal(factor, name, keys) for name in ("secret_ciphertext", "pending_ciphertext"))
    if done:
        audit.note("key.rotated", actor=audit.SYSTEM, now=now, details={"what": "second_factors", "rows": done})
    db.session.commit()
    return done


def fresh_code() -> str:
    """A code that a person can read out: four groups of four."""
    code = "".join(secrets.choice(ALPHABET) for _ in range(16))
    return "-".join(code[i : i + 4] for i in range(0, 16, 4))


def normal(code: str) -> str:
    """A code as it counts: spaces, dashes and case do not matter."""
    return "".join(filter(str.isalnum, code)).lower()


def hashed(code: str) -> bytes:
    """What is stored of a recovery code."""
    return sha256(normal(code).encode("utf-8", "replace")).digest()


def _takes_step(account: int, code: str, keys: Sequence[str], now: datetime) -> bool:
    secret = _unsealed(account, db.session.scalar(_in_force(account)), keys)
    step = _step_of(secret, code, now) if secret is not None else None
    if step is None:
        return False
    # Who comes second with the same code finds its step taken.
    fresh = update(SecondFactor).where(SecondFactor.organiser_id == account, SecondFactor.last_step < step)
    return db.session.scalar(fresh.values(last_step=step).returning(SecondFactor.organiser_id)) is not None


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step near `now` whose code this is."""
    current = int(now.timestamp()) // STEP_SECONDS
    steps = range(current - STEPS_OFF, current + STEPS_OFF + 1)
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS)
    return next((step for step in steps if totp.verify(normal(code), for_time=step * STEP_SECONDS)), None)


def _in_force(account: int) -> Select[bytes | None]:
    question = select(SecondFactor.secret_ciphertext).where(SecondFactor.organiser_id == account)
    return question.where(SecondFactor.secret_ciphertext.is_not(None))


def _renew_codes(account: int) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.organiser_id == account))
    codes = [fresh_code() for _ in range(CODES)]
    db.session.execute(insert(RecoveryCode), [{"organiser_id": account, "code_hash": hashed(code)} for code in codes])
    return codes


def _unsealed(account: int, sealed: bytes | None, keys: Sequence[str]) -> str | None:
    if sealed is None:
        return None
    try:
        return sealing.of_secrets(tuple(keys)).unseal(sealed, _context(account)).decode()
    except sealing.SealBrokenError as error:
        log.error("an authenticator's secret cannot be opened", account=account, reason=str(error))
        return None


def _reseal(factor: SecondFactor, name: str, keys: Sequence[str]) -> bool:
    sealed, ring = getattr(factor, name), sealing.of_secrets(tuple(keys))
    secret = None if sealed is None or ring.is_current(sealed) else sealed
    plain = _unsealed(factor.organiser_id, secret, keys)
    if plain is None:
        return False
    setattr(factor, name, ring.seal(plain.encode(), _context(factor.organiser_id)))
    return True


def _context(account: int) -> str:
    return f"second factor of account {account}"
