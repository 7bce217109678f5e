"""Which organisations an organiser may see and change: what lies within his grants for the roster, today."""

from datetime import date

from sqlalchemy import exists, select

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.org.tree.models import DatedPath


def seen(organiser: Organiser, number: int, today: date) -> Organisation:
    """An organisation of the organiser's part of the tree, a joint body held from there too; else not_found."""
    shared = exists().where(
        DatedPath.organisation_id == Organisation.id,
        DatedPath.during.contains(today),
        organiser.reaches("roster", DatedPath.path),
    )
    mine = organiser.reaches("roster", Organisation.path) | shared
    organisation = db.session.scalars(select(Organisation).where(Organisation.id == number, mine)).one_or_none()
    if organisation is None:
        raise ServiceError("not_found")
    return organisation


def changeable(organiser: Organiser, number: int) -> Organisation:
    """One below the organisation of a grant, at home; that one itself is for those above it."""
    below = organiser.reaches("roster", Organisation.path)
    organisation = db.session.scalars(select(Organisation).where(Organisation.id == number, below)).one_or_none()
    if organisation is None:
        raise ServiceError("not_found")
    if organisation.path in organiser.paths("roster"):
        raise ServiceError("forbidden")
    return organisation


def target(organiser: Organiser, number: int | None) -> int:
    """One below which, or into which, the organiser may bring others: that of a grant, or one below it."""
    below = organiser.reaches("roster", Organisation.path)
    found = db.session.scalar(select(Organisation.id).where(Organisation.id == number, below))
    if found is None:
        raise ServiceError("not_found")
    return int(found)
