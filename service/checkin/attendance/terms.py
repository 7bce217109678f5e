"""The terms on which an activity takes check-ins: its leads say them, until the roster is frozen."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert

from service.activity import rules as activities
from service.activity.audience import organiser_may_edit
from service.checkin.attendance import roster
from service.checkin.models import Terms
from service.errors import ServiceError
from service.extensions import db
from service.org.organisers import Organiser

FROZEN = ("denominator", "live_minutes", "replay")


def agree(activity: int, organiser: Organiser, terms: dict[str, Any]) -> None:
    """Set the terms. Commits. What was frozen with the roster, its denominator and what completes it, stays.

    ServiceError not_found, forbidden, roster_frozen for another one.
    """
    activities.for_organiser(activity, organiser)
    if not organiser_may_edit(organiser, activity):
        raise ServiceError("forbidden")
    frozen = roster.of(activity)
    if frozen is not None and any(getattr(frozen, name) != terms[name] for name in FROZEN):
        raise ServiceError("roster_frozen")
    said = insert(Terms).values(activity_id=activity, **terms)
    db.session.execute(said.on_conflict_do_update(index_elements=["activity_id"], set_=terms))
    db.session.commit()
