"""A member's log-in: sessions, access and refresh tokens.

A refresh token is good for one use. A second use means that two hold it, and nobody can tell who is who: the
session is closed and its access tokens are denied.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from flask import current_app
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from service.auth import Actor, DenyList, issue_access
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.models import Denial, MemberSession, RefreshToken
from service.org.roster import MemberFacts, bind, bound_member, member_facts
from service.org.wechat import WechatUser

# Clocks of machines differ a little: a denial outlives the tokens that it denies.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Login:
    """What a client gets: both tokens, and who it is."""

    access_token: str
    expires_in: int
    refresh_token: str
    member: MemberFacts


def log_in(user: WechatUser, *, app: str, invitation: str | None, now: datetime) -> Login:
    """Open a session for the member that `user` is bound to, binding him first if he brings an invitation."""
    member = bound_member(user.appid, user.openid)
    if member is None and invitation is None:
        raise ServiceError("not_bound")
    if member is None:
        member = bound_now(user, str(invitation), now)
    if member.status != "active":
        raise ServiceError("forbidden")
    expires = now + timedelta(days=settings().refresh_token_days)
    session = insert(MemberSession).values(member_id=member.id, app=app, created_at=now, expires_at=expires)
    number = db.session.scalar(session.returning(MemberSession.id))
    login = renewed(member, session=int(number or 0), now=now)
    db.session.commit()
    return login


def bound_now(user: WechatUser, invitation: str, now: datetime) -> MemberFacts:
    """The member that `invitation` binds `user` to, in the caller's transaction."""
    bind(appid=user.appid, openid=user.openid, unionid=user.unionid, invitation=invitation, now=now)
    member = bound_member(user.appid, user.openid)
    if member is None or member.status != "active":
        raise ServiceError("invitation_invalid")
    return member


def refresh(token: str, now: datetime) -> Login:
    """New tokens for a refresh token, which this uses up; ServiceError refresh_invalid or refresh_reused."""
    # The lock makes the second of two concurrent uses wait, and see that it is the second.
    question = (
        select(RefreshToken, MemberSession)
        .join(MemberSession, MemberSession.id == RefreshToken.session_id)
        .where(RefreshToken.token_hash == hashed(token))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = db.session.execute(question).one_or_none()
    if found is None or found[1].revoked_at is not None:
        raise ServiceError("refresh_invalid")
    current, session = found
    if current.used_at is not None:
        revoke(session.id, now)
        db.session.commit()
        raise ServiceError("refresh_reused")
    member = member_facts(session.member_id)
    if current.expires_at <= now or member is None or member.status != "active":
        raise ServiceError("refresh_invalid")
    current.used_at = now
    session.expires_at = now + timedelta(days=settings().refresh_token_days)
    login = renewed(member, session=session.id, now=now)
    db.session.commit()
    return login


def log_out(actor: Actor, now: datetime) -> None:
    """Close the session of `actor`'s token; its tokens are refused from now on, other sessions go on."""
    revoke(actor.session, now)
    db.session.commit()


def revoke(session: int, now: datetime) -> None:
    """Close a session and deny its access tokens, in the caller's transaction."""
    open_one = (MemberSession.id == session) & MemberSession.revoked_at.is_(None)
    closed = update(MemberSession).where(open_one).values(revoked_at=now).returning(MemberSession.member_id)
    member = db.session.scalar(closed)
    if member is None:
        return
    expires = now + timedelta(seconds=settings().access_token_seconds) + SKEW
    denial = insert(Denial).values(session_id=session, member_id=member, expires_at=expires)
    db.session.execute(denial.on_conflict_do_nothing())


def load_deny_list() -> DenyList:
    """The sessions whose access tokens are to be refused now."""
    return DenyList(db.session.scalars(select(Denial.session_id).where(Denial.expires_at > func.now())))


def renewed(member: MemberFacts, *, session: int, now: datetime) -> Login:
    """A fresh pair of tokens for `session`, in the caller's transaction."""
    config = settings()
    token = secrets.token_urlsafe(32)
    expires = now + timedelta(days=config.refresh_token_days)
    row = insert(RefreshToken).values(session_id=session, token_hash=hashed(token), expires_at=expires)
    db.session.execute(row)
    access = issue_access(
        config.secret_key,
        member=member.id,
        organisation=member.organisation_path,
        place=member.place_path,
        session=session,
        now=now,
        seconds=config.access_token_seconds,
    )
    # The least that the random cut leaves.
    return Login(access, config.access_token_seconds - config.access_token_seconds // 10, token, member)


def hashed(token: str) -> bytes:
    """What is stored of a refresh token; it has 256 bits, so that SHA-256 is enough."""
    return sha256(token.encode()).digest()


def settings() -> Config:
    """The application's settings."""
    config: Config = current_app.config["CHUNSHUI"]
    return config
