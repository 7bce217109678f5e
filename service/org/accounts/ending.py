"""Ending an account's sessions: what it could do it can do no longer, or it is no longer known who holds it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.notes import note
from service.org.models import OrganiserSession
from service.scope import scoped


def end_sessions(account: int, now: datetime, *, but: int = 0) -> None:
    """Close the account's sessions, in the caller's transaction; `but` stays."""
    open_ones = scoped(update(OrganiserSession), OrganiserSession.organiser_id == account)
    open_ones = open_ones.where(OrganiserSession.revoked_at.is_(None), OrganiserSession.id != but)
    db.session.execute(open_ones.values(revoked_at=now))


def open_sessions(account: int, since: datetime, now: datetime) -> Sequence[OrganiserSession]:
    """The account's sessions that have not ended, nor idled from before `since`; the one used last first."""
    mine = (OrganiserSession.organiser_id == account, OrganiserSession.revoked_at.is_(None))
    alive = (OrganiserSession.expires_at > now, OrganiserSession.seen_at > since)
    question = scoped(select(OrganiserSession), *mine, *alive)
    return db.session.scalars(question.order_by(OrganiserSession.seen_at.desc(), OrganiserSession.id.desc())).all()


def end_one(account: int, session: int, now: datetime) -> None:
    """Close one of the account's sessions; noted. Commits. ServiceError not_found unless it is its own and open."""
    mine = (OrganiserSession.id == session, OrganiserSession.organiser_id == account)
    closing = scoped(update(OrganiserSession), *mine, OrganiserSession.revoked_at.is_(None)).values(revoked_at=now)
    if db.session.scalar(closing.returning(OrganiserSession.id)) is None:
        raise ServiceError("not_found")
    note("logout", by=account, now=now, session=session)
    db.session.commit()
