"""Attachments: a member of one branch stays with another (流入地), once both have confirmed it, from day to day.

The member proposes, or either branch, which confirms by that; who covers a side confirms for it. What has ended is
kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.org.people.models import Attachment
from service.org.people.scope import day
from service.scope import scoped

Home = aliased(Organisation)
Side = Literal["home", "receiving"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is proposed: a stay with a receiving branch, from one day on, perhaps until before another."""

    organisation_id: int
    reason: str
    starts_on: date
    ends_on: date | None = None


def holds_on(on: date) -> ColumnElement[bool]:
    """Whether an attachment is active on a day."""
    return and_(
        Attachment.home_confirmed_at.is_not(None),
        Attachment.receiving_confirmed_at.is_not(None),
        Attachment.starts_on <= on,
        or_(Attachment.ends_on.is_(None), Attachment.ends_on > on),
        or_(Attachment.closed_on.is_(None), Attachment.closed_on > on),
    )


def propose(member: Member, wish: Wish, *, by: Side | None, now: datetime) -> Attachment:
    """A new attachment, confirmed by the side that proposes it, by none if the member does. Commits.

    Repeating it changes nothing; what another has proposed the same is confirmed. ServiceError validation for a branch
    or dates that cannot be, conflict while another with this branch is open.
    """
    check(member, wish)
    over = and_(Attachment.member_id == member.id, Attachment.organisation_id == wish.organisation_id)
    ended = scoped(update(Attachment), over, Attachment.closed_on.is_(None), Attachment.ends_on <= day(now))
    db.session.execute(ended.values(closed_on=Attachment.ends_on))
    values = {"member_id": member.id, "proposed_at": now, **vars(wish)}
    db.session.execute(insert(Attachment).values(values).on_conflict_do_nothing())
    found = db.session.scalars(scoped(select(Attachment), over, Attachment.closed_on.is_(None)).with_for_update()).one()
    if any(getattr(found, name) != value for name, value in vars(wish).items()):
        raise ServiceError("conflict")
    if by is not None:
        agree(found, by, now)
    db.session.commit()
    return found


def check(member: Member, wish: Wish) -> None:
    """ServiceError validation unless the wish can be of this member."""
    wrong = {}
    receiving = db.session.get(Organisation, wish.organisation_id)
    if receiving is None or receiving.level != "branch" or receiving.id == member.organisation_id:
        wrong["organisation_id"] = ["Not another branch."]
    if wish.ends_on is not None and wish.ends_on <= wish.starts_on:
        wrong["ends_on"] = ["Not after the first day."]
    if wrong:
        raise ServiceError("validation", errors=wrong)


def agree(attachment: Attachment, side: Side, now: datetime) -> None:
    """A side's word, in the caller's transaction; the first one stands."""
    column = f"{side}_confirmed_at"
    setattr(attachment, column, getattr(attachment, column) or now)


def confirm(number: int, organiser: Organiser, now: datetime) -> Attachment:
    """Confirm for each side that the organiser covers. Commits. Confirming twice changes nothing.

    ServiceError not_found outside his part of the tree, conflict if the attachment is closed.
    """
    found = locked(number, organiser)
    if found.closed_on is not None:
        raise ServiceError("conflict")
    if organiser.may("roster", found.member.organisation.path):
        agree(found, "home", now)
    if organiser.may("roster", found.organisation.path):
        agree(found, "receiving", now)
    db.session.commit()
    return found


def close(number: int, organiser: Organiser, now: datetime) -> Attachment:
    """Decline what is proposed, or end what is active, as of today. Commits. Closing twice changes nothing."""
    found = locked(number, organiser)
    found.closed_on = found.closed_on or day(now)
    db.session.commit()
    return found


def locked(number: int, organiser: Organiser) -> Attachment:
    """An attachment with a side in the organiser's part of the tree, held until the end of the transaction."""
    found = db.session.scalar(of(organiser).where(Attachment.id == number).with_for_update(of=Attachment))
    if found is None:
        raise ServiceError("not_found")
    return found


def visible(organiser: Organiser, *, on: date | None, open_only: bool) -> Sequence[Attachment]:
    """Those with a side in the organiser's part of the tree: active on a day, or waiting for a side, or all."""
    question = of(organiser).order_by(Attachment.id.desc()).limit(500)
    if on is not None:
        question = question.where(holds_on(on))
    if open_only:
        waiting = or_(Attachment.home_confirmed_at.is_(None), Attachment.receiving_confirmed_at.is_(None))
        question = question.where(waiting, Attachment.closed_on.is_(None))
    return db.session.scalars(question).all()


def of(organiser: Organiser) -> Select[Attachment]:
    """The question for the attachments with a side in the organiser's part of the tree."""
    sides = or_(*(organiser.reaches("roster", side.path) for side in (Organisation, Home)))
    question = select(Attachment).join(Attachment.organisation).join(Attachment.member)
    return scoped(question.join(Home, Home.id == Member.organisation_id), sides)


def of_member(member: int) -> Sequence[Attachment]:
    """All of one member, the latest first."""
    question = scoped(select(Attachment), Attachment.member_id == member)
    return db.session.scalars(question.order_by(Attachment.starts_on.desc(), Attachment.id.desc())).all()


def active(member: int, on: date) -> Sequence[Attachment]:
    """Those of a member that hold on a day."""
    question = scoped(select(Attachment), Attachment.member_id == member, holds_on(on))
    return db.session.scalars(question.order_by(Attachment.id)).all()
