"""Changes of divisions that an administrator enters, each from a day on: abolished, renamed, moved.

A day lies in the past or is today. What had been until then is kept with the change, so that any day can be asked for;
changes may be entered in any order, and entering one again changes nothing. Imports leave a changed division alone.
"""

from datetime import date, timedelta

from sqlalchemy import or_, select, text
from sqlalchemy.dialects.postgresql import insert

from service.errors import ServiceError
from service.extensions import db
from service.org.entries import Entry, refuse_future
from service.org.geography.models import DivisionChange
from service.org.geography.paths import follow
from service.org.geography.sets import hand_over
from service.org.models import LEVELS, Division, DivisionAlias

DAY = timedelta(days=1)
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('divisions'))")


def abolish(code: str, *, on: date, successor: str | None, entry: Entry) -> None:
    """No more from `on`; its places in geography sets go to the successor. Refused while a division lies below it."""
    division = begin(code, on, entry)
    ends = (on - DAY, successor)
    if (division.valid_to, division.successor_code) != ends:
        check_valid(division, on)
        lasts = or_(Division.valid_to.is_(None), Division.valid_to >= on)
        below = select(Division.code).where(Division.parent_code == code, lasts).limit(1)
        if db.session.scalar(below) is not None:
            raise ServiceError("division_in_use")
        if successor is not None:
            check_valid(known(successor), on)
        division.valid_to, division.successor_code = ends
        hand_over(code, successor, on)
        record(code, "abolished", on, entry)
    db.session.commit()


def rename(code: str, *, name: str, on: date, entry: Entry) -> None:
    """Another name from `on`, up to the next one that is recorded; it is still found by the old one."""
    division = begin(code, on, entry)
    check_valid(division, on)
    later = next_change(code, "renamed", on)
    former = later.former_name if later else division.name
    if former != name:
        if later:
            later.former_name = name
        else:
            division.name = name
        record(code, "renamed", on, entry, former_name=former)
    db.session.commit()


def move(code: str, *, parent: str, on: date, entry: Entry) -> None:
    """Below another parent from `on`, up to the next move that is recorded; whoever lies below moves along."""
    division = begin(code, on, entry)
    check_valid(division, on)
    later = next_change(code, "moved", on)
    former = later.former_parent_code if later else division.parent_code
    if former != parent:
        above = known(parent)
        check_valid(above, on)
        if LEVELS.index(above.level) >= LEVELS.index(division.level):
            raise ServiceError("division_level")
        if later:
            later.former_parent_code = parent
        else:
            division.parent_code, division.path = parent, f"{above.path}.{code}"
        record(code, "moved", on, entry, former_parent_code=former)
        follow()
    db.session.commit()


def add_alias(code: str, alias: str) -> None:
    """Another spelling by which the division is found too."""
    known(code)
    db.session.execute(insert(DivisionAlias).values(code=code, alias=alias).on_conflict_do_nothing())
    db.session.commit()


def begin(code: str, on: date, entry: Entry) -> Division:
    """The division, once no other transaction changes any; ServiceError division_unknown or a day to come."""
    refuse_future(on, entry.today)
    db.session.execute(LOCK)
    return known(code)


def known(code: str) -> Division:
    """The division as it is stored now; ServiceError division_unknown without one."""
    division = db.session.get(Division, code, populate_existing=True)
    if division is None:
        raise ServiceError("division_unknown")
    return division


def check_valid(division: Division, on: date) -> None:
    """ServiceError division_unknown unless there is such a division on that day."""
    if (division.valid_from and on < division.valid_from) or (division.valid_to and on > division.valid_to):
        raise ServiceError("division_unknown")


def next_change(code: str, kind: str, on: date) -> DivisionChange | None:
    """The first change of a kind after a day, which tells what held until then."""
    question = select(DivisionChange).where(DivisionChange.code == code, DivisionChange.kind == kind)
    later = question.where(DivisionChange.effective_on > on).order_by(DivisionChange.effective_on)
    return db.session.scalars(later.limit(1)).one_or_none()


def record(code: str, kind: str, on: date, entry: Entry, **former: str | None) -> None:
    """Note the change; of two on one day the first knows what had been."""
    db.session.flush()
    same = select(DivisionChange.id).where(DivisionChange.code == code, DivisionChange.kind == kind)
    if db.session.scalar(same.where(DivisionChange.effective_on == on)) is None:
        db.session.add(DivisionChange(code=code, kind=kind, effective_on=on, entered_by=entry.by, **former))
        db.session.flush()


def of(code: str) -> list[DivisionChange]:
    """Every change of a division, the earliest first."""
    question = select(DivisionChange).where(DivisionChange.code == code)
    return list(db.session.scalars(question.order_by(DivisionChange.effective_on, DivisionChange.id)))
