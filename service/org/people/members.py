"""Members as their organisers see and correct them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from service.extensions import db
from service.org.login import revoke
from service.org.models import Member, MemberSession
from service.org.people.identity import identify, tails
from service.org.people.models import KINDS


def edit(member: Member, changes: Mapping[str, Any], now: datetime) -> Member:
    """Change what is named; whoever has left is logged out. Commits. ServiceError validation or number_taken."""
    identify(member.id, {kind: changes[kind] for kind in KINDS if kind in changes})
    for name in ("name", "status"):
        setattr(member, name, changes.get(name, getattr(member, name)))
    if member.status != "active":
        log_out_everywhere(member.id, now)
    db.session.commit()
    return member


def log_out_everywhere(member: int, now: datetime) -> None:
    """Close every session of a member, in the caller's transaction."""
    question = select(MemberSession.id).where(MemberSession.member_id == member, MemberSession.revoked_at.is_(None))
    for session in db.session.scalars(question.where(MemberSession.expires_at > now)).all():
        revoke(session, now)


def shown(member: Member) -> dict[str, Any]:
    """A member as PersonOut wants it."""
    organisation, place = member.organisation, member.place
    return {
        "id": member.id,
        "name": member.name,
        "status": member.status,
        "organisation": {"id": organisation.id, "name": organisation.name},
        "place": {"code": place.code, "name": place.name} if place else None,
        "tails": tails(member.id),
    }
