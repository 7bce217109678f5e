"""A member's log-in: sessions, access and refresh tokens.

A refresh token is good for one use. A second use means that two hold it, and nobody can tell who is who: the
session is closed and its access tokens are denied.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from flask import current_app
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from service.auth import Actor, DenyList, issue_access
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.models import Denial, MemberSession
from service.org.roster import MemberFacts, bind, bound_member, member_facts
from service.org.wechat import WechatUser
from service.scope import scoped

# Clocks of machines differ a little: a denial outlives the tokens that it denies.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Login:
    """What a client gets: both tokens, and who it is."""

    access_token: str
    expires_in: int
    refresh_token: str
    member: MemberFacts


OPEN = text(
    """
    WITH session AS (
        INSERT INTO sessions (member_id, app, created_at, expires_at)
        VALUES (:member, :app, :now, :expires) RETURNING id
    ), token AS (
        INSERT INTO refresh_tokens (session_id, token_hash, expires_at) SELECT id, :token_hash, :expires FROM session
    )
    SELECT id FROM session
    """
)
# The lock makes the second of two concurrent uses wait, and see that it is the second.
CURRENT = text(
    """
    -- scope: who holds the token
    SELECT t.id, t.used_at, t.expires_at, s.id AS session, s.member_id AS member, s.revoked_at
    FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token_hash = :token_hash FOR UPDATE
    """
)
ROTATE = text(
    """
    -- scope: the session of the token that was shown
    WITH session AS (UPDATE sessions SET expires_at = :expires WHERE id = :session),
        used AS (UPDATE refresh_tokens SET used_at = :now WHERE id = :used)
    INSERT INTO refresh_tokens (session_id, token_hash, expires_at) VALUES (:session, :token_hash, :expires)
    """
)


def log_in(user: WechatUser, *, app: str, invitation: str | None, now: datetime) -> Login:
    """Open a session for the member that `user` is bound to, binding him first if he brings an invitation."""
    member = bound_member(user.appid, user.openid)
    if member is None and invitation is None:
        raise ServiceError("not_bound")
    if member is None:
        member = bind(user, str(invitation), now)
    if member.status != "active":
        raise ServiceError("forbidden")
    token, expires = secrets.token_urlsafe(32), now + timedelta(days=settings().refresh_token_days)
    opened = {"member": member.id, "app": app, "now": now, "expires": expires, "token_hash": hashed(token)}
    session: int = db.session.execute(OPEN, opened).scalar_one()
    db.session.commit()
    return tokens(member, session=session, refresh_token=token, now=now)


def refresh(token: str, now: datetime) -> Login:
    """New tokens for a refresh token, which this uses up; ServiceError refresh_invalid or refresh_reused."""
    found = db.session.execute(CURRENT, {"token_hash": hashed(token)}).one_or_none()
    if found is None or found.revoked_at is not None:
        raise ServiceError("refresh_invalid")
    if found.used_at is not None:
        revoke(found.session, now)
        db.session.commit()
        raise ServiceError("refresh_reused")
    member = member_facts(found.member)
    if found.expires_at <= now or member is None or member.status != "active":
        raise ServiceError("refresh_invalid")
    fresh, expires = secrets.token_urlsafe(32), now + timedelta(days=settings().refresh_token_days)
    rotated = {"session": found.session, "used": found.id, "now": now, "expires": expires}
    db.session.execute(ROTATE, rotated | {"token_hash": hashed(fresh)})
    db.session.commit()
    return tokens(member, session=found.session, refresh_token=fresh, now=now)


def log_out(actor: Actor, now: datetime) -> None:
    """Close the session of `actor`'s token; its tokens are refused from now on, other sessions go on."""
    revoke(actor.session, now)
    db.session.commit()


def revoke(session: int, now: datetime) -> None:
    """Close a session and deny its access tokens, in the caller's transaction."""
    open_one = (MemberSession.id == session) & MemberSession.revoked_at.is_(None)
    closed = scoped(update(MemberSession), open_one).values(revoked_at=now).returning(MemberSession.member_id)
    member = db.session.scalar(closed)
    if member is None:
        return
    expires = now + timedelta(seconds=settings().access_token_seconds) + SKEW
    denial = insert(Denial).values(session_id=session, member_id=member, expires_at=expires)
    db.session.execute(denial.on_conflict_do_nothing())


def load_deny_list() -> DenyList:
    """The sessions whose access tokens are to be refused now."""
    return DenyList(db.session.scalars(select(Denial.session_id).where(Denial.expires_at > func.now())))


def tokens(member: MemberFacts, *, session: int, refresh_token: str, now: datetime) -> Login:
    """What the client gets: an access token of `session`, and the refresh token that was stored for it."""
    config = settings()
    access = issue_access(
        config.secret_key,
        member=member.id,
        organisation=member.home,
        place=member.place_path,
        session=session,
        now=now,
        seconds=config.access_token_seconds,
    )
    # The least that the random cut leaves.
    expires_in = config.access_token_seconds - config.access_token_seconds // 10
    return Login(access, expires_in, refresh_token, member)


def hashed(token: str) -> bytes:
    """What is stored of a refresh token; it has 256 bits, so that SHA-256 is enough."""
    return sha256(token.encode()).digest()


def settings() -> Config:
    """The application's settings."""
    config: Config = current_app.config["CHUNSHUI"]
    return config
