"""Closing members' sessions: their access tokens are denied until the last of them has ended by itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from service import audit
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.models import Denial, MemberSession
from service.scope import scoped

# Clocks of machines differ a little: a denial outlives the tokens that it denies.
SKEW = timedelta(minutes=5)


def revoke(session: int, now: datetime) -> None:
    """Close a session and deny its access tokens, in the caller's transaction."""
    open_one = (MemberSession.id == session) & MemberSession.revoked_at.is_(None)
    closed = scoped(update(MemberSession), open_one).values(revoked_at=now).returning(MemberSession.member_id)
    member = db.session.scalar(closed)
    if member is None:
        return
    config: Config = current_app.config["CHUNSHUI"]
    expires = now + timedelta(seconds=config.access_token_seconds) + SKEW
    denial = insert(Denial).values(session_id=session, member_id=member, expires_at=expires)
    db.session.execute(denial.on_conflict_do_nothing())


def of_member(member: int, now: datetime) -> Sequence[MemberSession]:
    """A member's open sessions, the latest first."""
    mine = (MemberSession.member_id == member, MemberSession.revoked_at.is_(None), MemberSession.expires_at > now)
    return db.session.scalars(scoped(select(MemberSession), *mine).order_by(MemberSession.id.desc())).all()


def end_one(member: int, session: int, now: datetime) -> None:
    """Close one of a member's own sessions; noted. Commits. ServiceError not_found unless it is his and open."""
    if session not in {one.id for one in of_member(member, now)}:
        raise ServiceError("not_found")
    revoke(session, now)
    audit.note("logout", actor=audit.Party("member", member), now=now, details={"session": session})
    db.session.commit()


def log_out_everywhere(member: int, now: datetime) -> None:
    """Close every session of a member, in the caller's transaction."""
    mine = (MemberSession.member_id == member, MemberSession.revoked_at.is_(None))
    question = scoped(select(MemberSession.id), *mine)
    for session in db.session.scalars(question.where(MemberSession.expires_at > now)).all():
        revoke(session, now)
