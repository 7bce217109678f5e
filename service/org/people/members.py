"""Members as their organisers see and correct them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.extensions import db
from service.org.models import Member
from service.org.people.identity import identify, tails
from service.org.people.models import KINDS
from service.org.sessions import log_out_everywhere


def edit(member: Member, changes: Mapping[str, Any], now: datetime) -> Member:
    """Change what is named; whoever has left is logged out. Commits. ServiceError validation or number_taken."""
    identify(member.id, {kind: changes[kind] for kind in KINDS if kind in changes})
    for name in ("name", "status"):
        setattr(member, name, changes.get(name, getattr(member, name)))
    if member.status != "active":
        log_out_everywhere(member.id, now)
    db.session.commit()
    return member


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
