"""Sessions known by a cookie: opened by password and second factor, ended by idleness, age, log-out or recovery."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, and_, exists, insert, select, update
from sqlalchemy.orm import aliased

from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.accounts import attempts, factor, recovery
from service.org.accounts.ending import end_sessions
from service.org.accounts.models import Grant
from service.org.accounts.notes import note, note_refusal
from service.org.accounts.passwords import acceptable, hash_of, is_dated, nobody, verified
from service.org.models import Organisation, OrganiserSession
from service.org.models import Organiser as Account
from service.org.organisers import Held, Organiser
from service.scope import scoped

_GRANTED = aliased(Organisation)
_WHO = (
    select(
        Account.id,
        Account.name,
        Account.office,
        Organisation.id.label("organisation_id"),
        Organisation.name.label("organisation_name"),
        Organisation.path.label("organisation_path"),
        OrganiserSession.id.label("session"),
        OrganiserSession.seen_at,
        OrganiserSession.two_factors,
        Grant.role,
        Grant.purpose,
        _GRANTED.path.label("granted"),
    )
    .join(Account, Account.id == OrganiserSession.organiser_id)
    .join(Organisation, Organisation.id == Account.organisation_id)
)

# How exactly the last use is known: one write a minute, however much is asked.
SEEN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for sessions here, from the settings."""

    keys: Sequence[str]
    life: timedelta
    idle: timedelta
    factor_required: bool

    @classmethod
    def of(cls, config: Config) -> "Terms":
        """The terms of the settings."""
        return cls(
            keys=config.secrets,
            life=timedelta(hours=config.organiser_session_hours),
            idle=timedelta(seconds=config.organiser_idle_seconds),
            factor_required=config.second_factor_required,
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session: its cookie, the cookie that makes the browser known, and whose it is."""

    cookie: str
    device: str
    organiser: Organiser


def sign_in(
    login: str, password: str, *, code: str | None = None, device: str | None = None, terms: Terms, now: datetime
) -> Opened:
    """A new session. Commits. `device` is the cookie of a browser that logged in before.

    ServiceError login_failed whichever was wrong, second_factor_needed if only the code is missing, login_locked.
    """
    known = attempts.known_device(device, login, terms.keys)
    attempts.count(login, known, now)
    account = db.session.scalars(scoped(select(Account), Account.login == login)).one_or_none()
    # As much work for an unknown login as for a known one, so that time tells neither.
    matches = verified(account.password_hash if account else nobody(), password)
    if account is None or not matches:
        note_refusal(login, now=now, reason="login_failed")
        db.session.commit()
        raise ServiceError("login_failed")
    two_factors = factor.is_set_up(account.id)
    if two_factors and not code:
        attempts.take_back(login, known, now)
        db.session.commit()
        raise ServiceError("second_factor_needed")
    if two_factors and not factor.passes(account.id, str(code), keys=terms.keys, now=now):
        db.session.rollback()
        note_refusal(login, now=now, reason="code_wrong")
        db.session.commit()
        raise ServiceError("login_failed")
    if is_dated(account.password_hash):
        account.password_hash = hash_of(password)
    attempts.forget(login, known)
    return open_session(account.id, login, two_factors=two_factors, terms=terms, now=now)


def open_session(account: int, login: str, *, two_factors: bool, terms: Terms, now: datetime) -> Opened:
    """A new session for an account that has shown who it is. Commits."""
    cookie = secrets.token_urlsafe(32)
    row = {"organiser_id": account, "two_factors": two_factors, "token_hash": hashed(cookie), "seen_at": now}
    db.session.execute(insert(OrganiserSession).values(**row, expires_at=now + terms.life))
    note("login", by=account, now=now, two_factors=two_factors)
    db.session.commit()
    return Opened(cookie, attempts.mark_device(login, terms.keys[0]), of_cookie(cookie, terms=terms, now=now))


def recover(login: str, *, code: str, password: str, terms: Terms, now: datetime) -> Opened:
    """A new session for who brings the code of a recovery; what `recovery.use` says. Commits."""
    account = recovery.use(login, code=code, password=password, now=now)
    return open_session(account, login, two_factors=False, terms=terms, now=now)


def of_cookie(cookie: str | None, *, terms: Terms, now: datetime) -> Organiser:
    """The organiser whose open session `cookie` names; ServiceError token_missing or token_invalid."""
    if not cookie:
        raise ServiceError("token_missing")
    question = _WHO.outerjoin(Grant, and_(Grant.organiser_id == Account.id, Grant.holds(now)))
    question = question.outerjoin(_GRANTED, _GRANTED.id == Grant.organisation_id)
    question = scoped(question, OrganiserSession.token_hash == hashed(cookie), _is_open(terms, now))
    rows = db.session.execute(question).all()
    if not rows:
        raise ServiceError("token_invalid")
    who = rows[0]
    if now - who.seen_at >= SEEN:
        touch([who.session], now)
    return Organiser(
        who.id,
        who.name,
        who.organisation_id,
        who.organisation_name,
        who.organisation_path,
        who.session,
        tuple(Held(row.role, row.purpose, row.granted) for row in rows if row.role is not None),
        # Offices reach what nobody else does: they need it whatever the setting.
        lacks_factor=not who.two_factors and (terms.factor_required or who.office is not None),
    )


def still_open(sessions: Iterable[int], *, purpose: str, terms: Terms, now: datetime) -> set[int]:
    """Those of `sessions` that have not ended and whose account may still act for `purpose`; asking counts as use.

    Commits.
    """
    question = select(OrganiserSession.id, OrganiserSession.seen_at)
    granted = exists().where(Grant.organiser_id == OrganiserSession.organiser_id, Grant.purpose == purpose)
    alive = and_(_is_open(terms, now), granted.where(Grant.holds(now)))
    found = db.session.execute(scoped(question, OrganiserSession.id.in_(list(sessions)), alive)).all()
    touch([row.id for row in found if now - row.seen_at >= SEEN], now)
    return {row.id for row in found}


def account_of_session(session: int, *, terms: Terms, now: datetime) -> int | None:
    """Whose session this is; None if it has ended."""
    open_one = scoped(select(OrganiserSession.organiser_id), OrganiserSession.id == session, _is_open(terms, now))
    return db.session.scalar(open_one)


def touch(sessions: Sequence[int], now: datetime) -> None:
    """Note that they were used. Commits."""
    if sessions:
        used = scoped(update(OrganiserSession), OrganiserSession.id.in_(sessions), OrganiserSession.seen_at < now)
        db.session.execute(used.values(seen_at=now))
    db.session.commit()


def sign_out(organiser: Organiser, now: datetime) -> None:
    """Close the session that `organiser` came with. Commits."""
    session = scoped(update(OrganiserSession), OrganiserSession.id == organiser.session)
    db.session.execute(session.values(revoked_at=now))
    note("logout", by=organiser.id, now=now)
    db.session.commit()


def change_password(organiser: Organiser, *, password: str, new_password: str, now: datetime) -> None:
    """A new password; other sessions are closed. Commits. ServiceError login_failed, login_locked, validation."""
    if not acceptable(new_password, login_of(organiser)):
        raise ServiceError("validation", errors={"new_password": ["Not acceptable."]})
    account = password_shown(organiser, password, now)
    account.password_hash = hash_of(new_password)
    end_sessions(organiser.id, now, but=organiser.session)
    note("account.changed", by=organiser.id, now=now, change="password")
    db.session.commit()


def begin_factor(organiser: Organiser, *, password: str, code: str | None, terms: Terms, now: datetime) -> None:
    """A new authenticator to be confirmed, for who shows the password and, if there is one, the old factor. Commits."""
    account = _asked_again(organiser, password, now)
    set_up = factor.is_set_up(organiser.id)
    if set_up and not code:
        raise ServiceError("second_factor_needed")
    if set_up and not factor.passes(organiser.id, str(code), keys=terms.keys, now=now):
        raise ServiceError("code_wrong")
    attempts.forget(account.login, _device(organiser))
    factor.begin(organiser.id, key=terms.keys[0])


def confirm_factor(organiser: Organiser, code: str, *, terms: Terms, now: datetime) -> list[str]:
    """Put it into force; this session has shown it, all others are closed. Commits. The new recovery codes."""
    login = login_of(organiser)
    attempts.count(login, _device(organiser), now)
    codes = factor.confirm(organiser.id, code, keys=terms.keys, now=now)
    attempts.forget(login, _device(organiser))
    shown = scoped(update(OrganiserSession), OrganiserSession.id == organiser.session).values(two_factors=True)
    db.session.execute(shown)
    end_sessions(organiser.id, now, but=organiser.session)
    db.session.commit()
    return codes


def password_shown(organiser: Organiser, password: str, now: datetime) -> Account:
    """The account of who shows the password again within a session; in the caller's transaction.

    ServiceError login_failed, login_locked.
    """
    account = _asked_again(organiser, password, now)
    attempts.forget(account.login, _device(organiser))
    return account


def _asked_again(organiser: Organiser, password: str, now: datetime) -> Account:
    """The account, its password shown again within a session; one more attempt is counted, for the caller to forget."""
    account = db.session.scalars(scoped(select(Account), Account.id == organiser.id)).one()
    attempts.count(account.login, _device(organiser), now)
    if not verified(account.password_hash, password):
        raise ServiceError("login_failed")
    return account


def login_of(organiser: Organiser) -> str:
    """The login of the account."""
    return db.session.scalars(scoped(select(Account.login), Account.id == organiser.id)).one()


def _is_open(terms: Terms, now: datetime) -> ColumnElement[bool]:
    alive = and_(OrganiserSession.revoked_at.is_(None), OrganiserSession.expires_at > now)
    return and_(alive, OrganiserSession.seen_at > now - terms.idle)


def hashed(cookie: str) -> bytes:
    """What is stored of a session's cookie."""
    return sha256(cookie.encode("utf-8", "replace")).digest()


def _device(organiser: Organiser) -> bytes:
    # Guesses within a session are counted for it alone.
    return b"session %d" % organiser.session
