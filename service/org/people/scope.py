"""Whom and what an organiser may see here: what his grants for the roster reach, one function for each door.

Nothing outside is told from nothing.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.scope import scoped

CHINA = ZoneInfo("Asia/Shanghai")


def member_of(organiser: Organiser, member: int) -> Member:
    """A member whose home branch is in the organiser's part of the tree; ServiceError not_found for any other."""
    reached = organiser.reaches("roster", Organisation.path)
    question = select(Member).join(Organisation).where(Member.id == member, Member.rehearsal.is_(False))
    found = db.session.scalar(scoped(question, reached))
    if found is None:
        raise ServiceError("not_found")
    return found


def branch_of(organiser: Organiser, organisation: int) -> Organisation:
    """An organisation in the organiser's part of the tree; ServiceError not_found for any other."""
    question = select(Organisation).where(Organisation.id == organisation)
    found = db.session.scalar(question.where(organiser.reaches("roster", Organisation.path)))
    if found is None:
        raise ServiceError("not_found")
    return found


def day(now: datetime) -> date:
    """The date that `now` has in China, where every branch counts its days."""
    return now.astimezone(CHINA).date()
