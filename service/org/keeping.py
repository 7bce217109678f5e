"""Log-ins that are over are not kept: their sessions, tokens and denials go once they have expired."""

from datetime import datetime

from sqlalchemy import Select, delete, select

from service.extensions import db
from service.org.models import Denial, MemberSession, OrganiserSession, RefreshToken

BATCH = 5000


def forget_expired(now: datetime) -> int:
    """Remove expired sessions with what hangs on them; how many. Commits every batch."""
    db.session.execute(delete(Denial).where(Denial.expires_at < now))
    db.session.execute(delete(OrganiserSession).where(OrganiserSession.expires_at < now))
    db.session.commit()
    gone = 0
    while batch := db.session.scalars(expired(now)).all():
        db.session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(batch)))
        db.session.execute(delete(MemberSession).where(MemberSession.id.in_(batch)))
        db.session.commit()
        gone += len(batch)
    return gone


def expired(now: datetime) -> Select[int]:
    """Some sessions that are over and no longer denied: an access token may outlive its session."""
    denied = select(Denial.session_id)
    over = (MemberSession.expires_at < now, MemberSession.id.not_in(denied))
    return select(MemberSession.id).where(*over).order_by(MemberSession.id).limit(BATCH)
