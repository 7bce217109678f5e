"""Whom an organiser may act for in an activity: members at home, or staying, where his grants for the roster reach.

Nothing outside is told from nothing.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, or_, select, text

from service.activity import rules as activities
from service.activity.models import Activity, ActivityInvitation, Sitting
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.home import rehearsed
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.org.people.attachments import holds_on
from service.org.people.models import Attachment
from service.scope import scoped

# What an organiser may enter later than any activity's terms let him (`attendance.schemas.TermsIn`) is over.
RECENT = timedelta(days=30)
MOST = 200
# The paths of the grants come as two bounds each, so that every one is a range of the index.
MEMBERS = text(
    """
    -- scope: those of the members whose home, or receiving branch of today, lies within the given paths
    SELECT m.id, CASE WHEN m.rehearsal THEN :label ELSE '' END || o.path, coalesce(d.path, ''), m.name
    FROM members m JOIN organisations o ON o.id = m.organisation_id LEFT JOIN divisions d ON d.code = m.place_code
    WHERE m.id = ANY (:members) AND m.status <> 'left' AND (
        EXISTS (SELECT FROM unnest(CAST(:tops AS text[])) AS top WHERE o.path = top OR starts_with(o.path, top || '.'))
        OR EXISTS (
            SELECT FROM attachments a JOIN organisations r ON r.id = a.organisation_id
            JOIN unnest(CAST(:tops AS text[])) AS top ON r.path = top OR starts_with(r.path, top || '.')
            WHERE a.member_id = m.id AND a.home_confirmed_at IS NOT NULL AND a.receiving_confirmed_at IS NOT NULL
                AND a.starts_on <= :day AND coalesce(a.ends_on, 'infinity') > :day
                AND coalesce(a.closed_on, 'infinity') > :day))
    """
)

# No roster is as long. Beyond it lie phone numbers and identity numbers that somebody tries in a member's place.
LARGEST_MEMBER = 10**10 - 1


class Person(NamedTuple):
    """A member as an attempt needs him; `organisation` is the path that his tokens carry."""

    id: int
    organisation: str
    place: str
    name: str


def people(organiser: Organiser, members: Collection[int], now: datetime) -> dict[int, Person]:
    """Those of `members` that the organiser may act for."""
    values = {
        "members": list(members),
        "tops": list(organiser.paths("roster")),
        "label": rehearsed(""),
        "day": day_of(now),
    }
    return {row.id: Person(*row) for row in db.session.execute(MEMBERS, values)}


def person(organiser: Organiser, member: int, now: datetime) -> Person:
    """The member, if the organiser may act for him; ServiceError not_found."""
    found = people(organiser, [member], now).get(member)
    if found is None:
        raise ServiceError("not_found")
    return found


def activity_of(organiser: Organiser, activity: int) -> Activity:
    """An activity that is open, or that invites something in the organiser's part of the tree or all around it.

    ServiceError not_found for any other.
    """
    found = db.session.scalar(scoped(select(Activity).where(Activity.id == activity), concerns(organiser)))
    if found is None:
        raise ServiceError("not_found")
    return found


def activities_of(organiser: Organiser, now: datetime) -> Sequence[Activity]:
    """Those activities that are held, will be, or were until a month ago, the latest first."""
    recent = select(Sitting.activity_id).where(Sitting.ends_at > now - RECENT)
    question = activities.whole(concerns(organiser), Activity.id.in_(recent))
    return db.session.scalars(question.order_by(Activity.id.desc()).limit(MOST)).unique().all()


def concerns(organiser: Organiser) -> ColumnElement[bool]:
    """Whether an activity is open, or invites something in the organiser's part of the tree or all around it."""
    above = {path[: at + 1] for path in organiser.paths("roster") for at in _ends(path)}
    touching = (
        exists()
        .where(ActivityInvitation.activity_id == Activity.id, ActivityInvitation.organisation_id == Organisation.id)
        .where(or_(organiser.reaches("roster", Organisation.path), Organisation.path.in_(above)))
    )
    return or_(Activity.attendance == "open", touching)


def branches_of(organiser: Organiser) -> Sequence[Organisation]:
    """The highest nodes of the organiser's part of the tree."""
    question = select(Organisation).where(Organisation.path.in_(organiser.paths("roster")))
    return db.session.scalars(question.order_by(Organisation.path)).all()


def reached(organiser: Organiser, column: Any, now: datetime) -> ColumnElement[bool]:
    """Whether a column of members' numbers is of somebody at home in the organiser's part of the tree, or staying."""
    home = select(Member.id).join(Organisation).where(organiser.reaches("roster", Organisation.path))
    stay = select(Attachment.member_id).join(Organisation, Organisation.id == Attachment.organisation_id)
    stay = stay.where(organiser.reaches("roster", Organisation.path), holds_on(day_of(now)))
    return or_(column.in_(home), column.in_(stay))


def _ends(path: str) -> list[int]:
    return [at - 1 for at, character in enumerate(path + ".") if character == "."]
