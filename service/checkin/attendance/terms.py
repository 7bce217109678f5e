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


def agree(activity: int, organiser: Organiser, terms: dict[str, Any]) -> None:
    """Set the terms. Commits. What was frozen with the roster, its denominator, stays.

    ServiceError not_found, forbidden, roster_frozen for another denominator.
    """
    activities.for_organiser(activity, organiser)
    if not organiser_may_edit(organiser, activity):
        raise ServiceError("forbidden")
    frozen = roster.of(activity)
    if frozen is not None and frozen.denominator != terms["denominator"]:
        raise ServiceError("roster_frozen")
    said = insert(Terms).values(activity_id=activity, **terms)
    db.session.execute(said.on_conflict_do_update(index_elements=["activity_id"], set_=terms))
    db.session.commit()
