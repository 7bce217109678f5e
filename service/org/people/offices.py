"""Offices that members hold in organisations, with dates; never read out of a name."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.dialects.postgresql import insert

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Member, Organisation
from service.org.people.models import Office
from service.scope import scoped


def held_on(on: date) -> ColumnElement[bool]:
    """Whether an office is held on a day."""
    return and_(Office.starts_on <= on, or_(Office.ends_on.is_(None), Office.ends_on > on))


def appoint(member: Member, organisation: Organisation, *, title: str, starts_on: date) -> Office:
    """The office of a member from a day on. Commits. Repeating it changes nothing."""
    values = {"member_id": member.id, "organisation_id": organisation.id, "title": title, "starts_on": starts_on}
    db.session.execute(insert(Office).values(values).on_conflict_do_nothing())
    found = db.session.scalars(scoped(select(Office).filter_by(**values), Office.member_id == member.id)).one()
    db.session.commit()
    return found


def end(member: Member, office: int, ends_on: date) -> Office:
    """Let a member's office end before a day. Commits. ServiceError not_found, validation before its first day."""
    found = db.session.scalar(scoped(select(Office), Office.id == office, Office.member_id == member.id))
    if found is None:
        raise ServiceError("not_found")
    if ends_on <= found.starts_on:
        raise ServiceError("validation", errors={"ends_on": ["Not after the first day."]})
    found.ends_on = ends_on
    db.session.commit()
    return found


def of_member(member: int, on: date | None = None) -> Sequence[Office]:
    """The offices of a member, held on a day or ever, the earliest first."""
    question = scoped(select(Office), Office.member_id == member).order_by(Office.starts_on, Office.id)
    return db.session.scalars(question if on is None else question.where(held_on(on))).all()
