"""Organisers' accounts: a login, an argon2 password, and sessions known by a cookie."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from service import audit
from service.errors import ServiceError
from service.extensions import db
from service.org.models import Organisation, OrganiserSession
from service.org.models import Organiser as Account

# Some 20 ms and 19 MiB each: dear for who guesses, bearable within a web worker.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
SHORTEST_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class Organiser:
    """Who organises: an account with its organisation, below whose path lies what it may see."""

    id: int
    name: str
    organisation_id: int
    organisation_name: str
    organisation_path: str
    session: int = 0


def add_organiser(login: str, *, name: str, password: str, organisation_id: int) -> int:
    """A new account of an organisation's id, committed; its number. ServiceError validation or conflict."""
    wrong = []
    if not login or len(login) > 64 or not login.isprintable():
        wrong.append("login")
    if not SHORTEST_PASSWORD <= len(password) <= 200:
        wrong.append("password")
    if db.session.get(Organisation, organisation_id) is None:
        wrong.append("organisation_id")
    if wrong:
        raise ServiceError("validation", errors={field: ["Not acceptable."] for field in wrong})
    account = insert(Account).values(
        login=login, name=name, password_hash=HASHER.hash(password), organisation_id=organisation_id
    )
    number = db.session.scalar(account.on_conflict_do_nothing().returning(Account.id))
    if number is None:
        raise ServiceError("conflict")
    db.session.commit()
    return int(number)


def sign_in(login: str, password: str, *, now: datetime, hours: int) -> tuple[str, Organiser]:
    """A new session's cookie and its organiser; ServiceError login_failed, whichever of the two was wrong."""
    account = db.session.scalars(select(Account).where(Account.login == login)).one_or_none()
    # As much work for an unknown login as for a known one, so that time tells neither.
    matches = verified(account.password_hash if account else nobody(), password)
    if account is None or not matches:
        # A pseudonym of what was tried: attempts on one login can be counted, whether it exists or not.
        audit.note("login.failed", actor=audit.Party("login", login), now=now, outcome="refused")
        db.session.commit()
        raise ServiceError("login_failed")
    if HASHER.check_needs_rehash(account.password_hash):
        account.password_hash = HASHER.hash(password)
    cookie = secrets.token_urlsafe(32)
    row = {"organiser_id": account.id, "token_hash": hashed(cookie), "expires_at": now + timedelta(hours=hours)}
    db.session.execute(insert(OrganiserSession).values(row))
    audit.note("login", actor=audit.Party("organiser", account.id), now=now)
    db.session.commit()
    return cookie, of_cookie(cookie, now)


def of_cookie(cookie: str | None, now: datetime) -> Organiser:
    """The organiser whose open session `cookie` names; ServiceError token_missing or token_invalid."""
    if not cookie:
        raise ServiceError("token_missing")
    question = (
        select(Account.id, Account.name, Organisation.id, Organisation.name, Organisation.path, OrganiserSession.id)
        .join(Account, Account.id == OrganiserSession.organiser_id)
        .join(Organisation, Organisation.id == Account.organisation_id)
        .where(OrganiserSession.token_hash == hashed(cookie))
        .where(OrganiserSession.revoked_at.is_(None), OrganiserSession.expires_at > now)
    )
    row = db.session.execute(question).one_or_none()
    if row is None:
        raise ServiceError("token_invalid")
    return Organiser(*row)


def sign_out(organiser: Organiser, now: datetime) -> None:
    """Close the session that `organiser` came with."""
    session = update(OrganiserSession).where(OrganiserSession.id == organiser.session)
    db.session.execute(session.values(revoked_at=now))
    audit.note("logout", actor=audit.Party("organiser", organiser.id), now=now)
    db.session.commit()


def verified(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed."""
    try:
        return HASHER.verify(password_hash, password)
    except VerificationError:
        return False


@lru_cache(maxsize=1)
def nobody() -> str:
    """The hash that an unknown login is checked against."""
    return HASHER.hash(secrets.token_urlsafe(16))


def hashed(cookie: str) -> bytes:
    """What is stored of a session's cookie."""
    return sha256(cookie.encode("utf-8", "replace")).digest()
