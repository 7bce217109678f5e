"""A member's log-in: sessions, access and refresh tokens.

A refresh token is good for one use. A second use means that two hold it, and nobody can tell who is who: the
session is closed and its access tokens are denied.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from flask import current_app
from sqlalchemy import func, select, text

from service import audit
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.notify.notices import wishes
from service.notify.notices.models import ACCOUNT
from service.org.models import Denial
from service.org.people.binding import bind_by_phone, recognised
from service.org.roster import MemberFacts, bind, member_facts
from service.org.sessions import revoke
from service.org.wechat import WechatUser
from service.tokens import Actor, DenyList, issue_access


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


def log_in(
    user: WechatUser, *, app: str, invitation: str | None, now: datetime, phone: Callable[[], str] | None = None
) -> Login:
    """Open a session for the member that `user` is bound to.

    Who is not yet bound is bound first by his invitation, or by his phone, which is asked for only then.
    """
    member = admitted(user, invitation, phone, now)
    token, expires = secrets.token_urlsafe(32), now + timedelta(days=settings().refresh_token_days)
    if user.appid == settings().wechat_account_appid:
        # He follows it, as far as anybody knows; WeChat says so if he does not.
        wishes.reach(member.id, ACCOUNT, user.openid, now)
    opened = {"member": member.id, "app": app, "now": now, "expires": expires, "token_hash": hashed(token)}
    session: int = db.session.execute(OPEN, opened).scalar_one()
    audit.note("login", actor=audit.Party("member", member.id), now=now, details={"app": app})
    db.session.commit()
    return tokens(member, session=session, refresh_token=token, now=now)


def admitted(user: WechatUser, invitation: str | None, phone: Callable[[], str] | None, now: datetime) -> MemberFacts:
    """The member, not one who has left, that `user` is bound to, or is from now on; a refusal is noted."""
    try:
        member = recognised(user) or newly_bound(user, invitation, phone, now)
        if member.status == "left":
            raise ServiceError("forbidden")
    except ServiceError as refusal:
        db.session.rollback()
        if refusal.code != "not_bound":  # everybody's first question, before there is anything to be refused
            who = audit.Party("wechat", f"{user.appid} {user.openid}")
            audit.note("login.failed", actor=who, now=now, outcome="refused", details={"code": refusal.code})
            db.session.commit()
        raise
    return member


def newly_bound(
    user: WechatUser, invitation: str | None, phone: Callable[[], str] | None, now: datetime
) -> MemberFacts:
    """The member that `user`'s invitation, or else his phone, names, bound from now on; not_bound without either."""
    if invitation is not None:
        return bind(user, invitation, now)
    if phone is not None:
        return bind_by_phone(user, phone)
    raise ServiceError("not_bound")


def refresh(token: str, now: datetime) -> Login:
    """New tokens for a refresh token, which this uses up; ServiceError refresh_invalid or refresh_reused."""
    found = db.session.execute(CURRENT, {"token_hash": hashed(token)}).one_or_none()
    if found is None or found.revoked_at is not None:
        raise ServiceError("refresh_invalid")
    if found.used_at is not None:
        revoke(found.session, now)
        who = audit.Party("member", found.member)
        audit.note("login.failed", actor=who, now=now, outcome="refused", details={"code": "refresh_reused"})
        db.session.commit()
        raise ServiceError("refresh_reused")
    member = member_facts(found.member)
    if found.expires_at <= now or member is None or member.status == "left":
        raise ServiceError("refresh_invalid")
    fresh, expires = secrets.token_urlsafe(32), now + timedelta(days=settings().refresh_token_days)
    rotated = {"session": found.session, "used": found.id, "now": now, "expires": expires}
    db.session.execute(ROTATE, rotated | {"token_hash": hashed(fresh)})
    db.session.commit()
    return tokens(member, session=found.session, refresh_token=fresh, now=now)


def log_out(actor: Actor, now: datetime) -> None:
    """Close the session of `actor`'s token; its tokens are refused from now on, other sessions go on."""
    revoke(actor.session, now)
    audit.note("logout", actor=audit.Party("member", actor.member), now=now)
    db.session.commit()


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
