"""Ending an account's sessions: what it could do it can do no longer, or it is no longer known who holds it."""

from datetime import datetime

from sqlalchemy import update

from service.extensions import db
from service.org.models import OrganiserSession
from service.scope import scoped


def end_sessions(account: int, now: datetime, *, but: int = 0) -> None:
    """Close the account's sessions, in the caller's transaction; `but` stays."""
    open_ones = scoped(update(OrganiserSession), OrganiserSession.organiser_id == account)
    open_ones = open_ones.where(OrganiserSession.revoked_at.is_(None), OrganiserSession.id != but)
    db.session.execute(open_ones.values(revoked_at=now))
