"""Log-ins that are over are not kept: their sessions, tokens and denials go once they have expired."""

from datetime import datetime

from sqlalchemy import Select, delete, select

from service.extensions import db
from service.org.models import Denial, MemberSession, OrganiserSession, RefreshToken
from service.scope import scoped

BATCH = 5000


def forget_expired(now: datetime) -> int:
    """Remove expired sessions with what hangs on them; how many. Commits every batch."""
    db.session.execute(delete(Denial).where(Denial.expires_at < now))
    db.session.execute(scoped(delete(OrganiserSession), OrganiserSession.expires_at < now))
    db.session.commit()
    gone = 0
    while batch := db.session.scalars(expired(now)).all():
        db.session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(batch)))
        db.session.execute(scoped(delete(MemberSession), MemberSession.id.in_(batch)))
        db.session.commit()
        gone += len(batch)
    return gone


def expired(now: datetime) -> Select[int]:
    """Some sessions that are over and no longer denied: an access token may outlive its session."""
    denied = select(Denial.session_id)
    over = (MemberSession.expires_at < now, MemberSession.id.not_in(denied))
    return scoped(select(MemberSession.id), *over).order_by(MemberSession.id).limit(BATCH)
