"""Members as their organisers see and correct them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.extensions import db
from service.org.models import Member
from service.org.people import standings
from service.org.people.identity import identify, tails
from service.org.people.models import KINDS, STANDINGS
from service.org.sessions import log_out_everywhere


def edit(member: Member, changes: Mapping[str, Any], now: datetime) -> Member:
    """Change what is named; whoever has left is logged out. Commits. ServiceError validation or number_taken.

    Status and category change from the day `since`, today without one.
    """
    identify(member.id, {kind: changes[kind] for kind in KINDS if kind in changes})
    member.name = changes.get("name", member.name)
    for kind in STANDINGS:
        if kind in changes:
            standings.enter(member, kind, changes[kind], since=changes.get("since"), now=now)
    if member.status == "left":
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
        "category": member.category,
        "organisation": {"id": organisation.id, "name": organisation.name},
        "place": {"code": place.code, "name": place.name} if place else None,
        "tails": tails(member.id),
    }
