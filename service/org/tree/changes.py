"""Changing the tree from a day on: founding, moving, merging, closing, renaming, joint bodies.

Each rule takes the lock of the tree, decides, writes and commits once; a change that is there already changes nothing.
A change holds until the next one that is recorded for the same organisation, so that what lies back may be entered
late. What holds today shows in `organisations` at once; what is to come, when its day comes (`settle`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from sqlalchemy import exists, select

from service.errors import ServiceError
from service.extensions import db
from service.org.entries import Entry, refuse_future
from service.org.models import ORGANISATION_LEVELS, Division, Member, Organisation
from service.org.organisations import add_organisation
from service.org.tree.affiliations import LAST, Span, Tie, after, before, home_on, life, moved, tidy
from service.org.tree.files import NUMBERED
from service.org.tree.models import DatedPath, OrganisationChange
from service.org.tree.paths import below, lock, redraw, rewrite, ties_of
from service.org.tree.settling import settle
from service.scope import everything


class Founding(NamedTuple):
    """A new organisation as it is entered."""

    name: str
    level: str
    parent: int | None
    division_code: str | None = None
    code: str | None = None
    joint: str | None = None


def found(new: Founding, *, on: date, entry: Entry) -> int:
    """A new organisation from `on`, which is not after today; its number."""
    lock()
    refuse_future(on, entry.today)
    check_new(new)
    parent = None
    if new.parent is not None:
        parent = fresh(new.parent)
        check_parent(new.parent, level=new.level, during=(on, LAST))
    more = {"division_code": new.division_code, "code": new.code, "joint": new.joint}
    number = add_organisation(new.name, level=new.level, parent=parent, since=on, **more).id
    db.session.commit()
    return number


def move(number: int, *, to: int, on: date, entry: Entry) -> None:
    """Below another parent from `on`, with everything below it."""
    lock()
    if reparent(number, to=to, on=on, entry=entry):
        settle(entry.today)
    db.session.commit()


def reparent(number: int, *, to: int, on: date, entry: Entry) -> bool:
    """`move` within the caller's transaction and lock; whether it changed anything."""
    ties = ties_of(number)
    tie = open_home(ties, on)
    if tie.parent == to:
        return False
    check_parent(to, level=fresh(number).level, during=(on, tie.until))
    check_no_circle(number, to, on)
    rewrite(number, moved(ties, tie, to, on))
    redraw([number])
    record(number, "moved", on=on, other=to, entry=entry)
    return True


def close(number: int, *, on: date, entry: Entry) -> None:
    """No more from `on`; refused while anyone belongs to it."""
    lock()
    organisation = fresh(number)
    if organisation.closed_on != on or organisation.successor_id is not None:
        check_open(organisation)
        check_empty(number, on, entry.today)
        end(organisation, on)
        record(number, "closed", on=on, entry=entry)
        settle(entry.today)
    db.session.commit()


def merge(number: int, *, into: int, on: date, entry: Entry) -> None:
    """Part of `into` from `on`: its members and all below it are `into`'s from that day."""
    lock()
    organisation = fresh(number)
    if (organisation.closed_on, organisation.successor_id) != (on, into):
        check_open(organisation)
        children = below(number, on)
        check_parent(into, level=organisation.level, during=(on, LAST), joint=organisation.joint is not None)
        check_no_circle(number, into, on)
        end(organisation, on)
        organisation.successor_id = into
        for child in children:
            rewrite(child, tidy(replaced(ties_of(child), number, into, on)))
        redraw(children)
        record(number, "merged", on=on, other=into, entry=entry)
        settle(entry.today)
    db.session.commit()


def join(number: int, *, parent: int, on: date, until: date | None, entry: Entry) -> None:
    """One more parent of a joint body from `on`, until a day that it is no more or for as long as the body is."""
    lock()
    join_within(number, parent=parent, on=on, until=until, entry=entry)
    db.session.commit()


def join_within(number: int, *, parent: int, on: date, until: date | None, entry: Entry) -> bool:
    """`join` within the caller's transaction and lock; whether it changed anything."""
    if fresh(number).joint is None:
        raise ServiceError("conflict")
    ties = ties_of(number)
    open_home(ties, on)
    span = (on, min(until or LAST, until_of(ties)))
    if span[0] >= span[1]:
        raise ServiceError("validation", errors={"until": ["Must be after the first day."]})
    check_parent(parent, level=None, during=span)
    joined = tidy([*ties, Tie(parent, False, *span)])
    if joined == ties:
        return False
    rewrite(number, joined)
    redraw([number])
    record(number, "joined", on=on, other=parent, entry=entry)
    return True


def part(number: int, *, parent: int, on: date, entry: Entry) -> None:
    """No longer a parent of a joint body from `on`."""
    lock()
    ties = ties_of(number)
    shared = [tie for tie in ties if not tie.home and tie.parent == parent]
    parted = tidy([*(tie for tie in ties if tie not in shared), *before(shared, on)])
    if parted != ties:
        rewrite(number, parted)
        redraw([number])
        record(number, "parted", on=on, other=parent, entry=entry)
    db.session.commit()


def rename(number: int, *, name: str, on: date, entry: Entry) -> None:
    """Another name from `on`, which is not after today."""
    lock()
    refuse_future(on, entry.today)
    open_home(ties_of(number), on)
    rename_within(number, name=name, on=on, entry=entry)
    db.session.commit()


def rename_within(number: int, *, name: str, on: date, entry: Entry) -> bool:
    """`rename` within the caller's transaction and lock; whether it changed anything."""
    organisation = fresh(number)
    question = select(OrganisationChange).where(
        OrganisationChange.organisation_id == number,
        OrganisationChange.kind == "renamed",
        OrganisationChange.effective_on > on,
    )
    later = db.session.scalars(question.order_by(OrganisationChange.effective_on).limit(1)).one_or_none()
    former = later.former_name if later else organisation.name
    if former == name:
        return False
    if later:
        later.former_name = name
    else:
        organisation.name = name
    record(number, "renamed", on=on, entry=entry, former_name=former)
    return True


def replaced(ties: Iterable[Tie], parent: int, by: int, on: date) -> list[Tie]:
    """`ties` with `by` in the place of `parent` from `on`."""
    return [
        part
        for tie in ties
        for part in (
            [*before([tie], on), *(replace(rest, parent=by) for rest in after([tie], on))]
            if tie.parent == parent
            else [tie]
        )
    ]


def fresh(number: int) -> Organisation:
    """The organisation as it is stored now; ServiceError not_found without one."""
    organisation = db.session.get(Organisation, number, populate_existing=True)
    if organisation is None:
        raise ServiceError("not_found")
    return organisation


def open_home(ties: Sequence[Tie], on: date) -> Tie:
    """The home in force on a day; ServiceError organisation_closed without one."""
    tie = home_on(ties, on)
    if tie is None:
        raise ServiceError("organisation_closed")
    return tie


def until_of(ties: Sequence[Tie]) -> date:
    """The first day on which the organisation is no more."""
    days = life(ties)
    return days[1] if days else LAST


def check_new(new: Founding) -> None:
    """ServiceError if its code is another's or could be taken for a number of ours, or its division is none."""
    if new.code is not None and new.code.startswith(NUMBERED):
        raise ServiceError("validation", errors={"code": ["Must not begin with #."]})
    if new.code is not None and db.session.scalar(select(exists().where(Organisation.code == new.code))):
        raise ServiceError("conflict")
    if new.division_code is not None and db.session.get(Division, new.division_code) is None:
        raise ServiceError("division_unknown")


def check_open(organisation: Organisation) -> None:
    """ServiceError organisation_closed if its end has been entered."""
    if organisation.closed_on is not None:
        raise ServiceError("organisation_closed")


def check_empty(number: int, on: date, today: date) -> None:
    """ServiceError organisation_in_use if anyone belongs to it on a day or later, or will by a merger."""
    members = exists().where(Member.organisation_id == number, Member.status != "left", ~Member.rehearsal)
    mergers = exists().where(Organisation.successor_id == number, Organisation.closed_on > today)
    if below(number, on) or db.session.scalar(everything("whether anybody is there", select(members | mergers))):
        raise ServiceError("organisation_in_use")


def check_parent(number: int, *, level: str | None, during: Span, joint: bool = False) -> None:
    """ServiceError unless there is such a parent on all these days, and one of `level` may lie below it."""
    parent, days = fresh(number), life(ties_of(number))
    if days is None or during[0] < days[0] or during[1] > days[1]:
        raise ServiceError("organisation_closed")
    order = ORGANISATION_LEVELS.index
    if (parent.joint and not joint) or (level is not None and order(parent.level) > order(level)):
        raise ServiceError("organisation_level")


def check_no_circle(number: int, to: int, on: date) -> None:
    """ServiceError organisation_circle if `to` is, or on any day from `on` lies below, `number`."""
    paths = select(DatedPath.path, DatedPath.during).where(DatedPath.organisation_id == to)
    for path, during in db.session.execute(paths):
        if str(number) in path.split(".") and (during.upper or LAST) > on:
            raise ServiceError("organisation_circle")


def end(organisation: Organisation, on: date) -> None:
    """Cut every affiliation at `on`, which must lie within its life."""
    ties = ties_of(organisation.id)
    days = life(ties)
    if days is None or not days[0] < on:
        raise ServiceError("organisation_closed")
    rewrite(organisation.id, before(ties, on))
    redraw([organisation.id])
    organisation.closed_on = on


def record(
    number: int, kind: str, *, on: date, entry: Entry, other: int | None = None, former_name: str | None = None
) -> None:
    """Note what was entered, by whom."""
    change = OrganisationChange(
        organisation_id=number,
        kind=kind,
        effective_on=on,
        other_id=other,
        former_name=former_name,
        entered_by=entry.by,
        settled=kind not in ("moved", "merged", "closed"),
    )
    db.session.add(change)
    db.session.flush()


def of(number: int) -> list[OrganisationChange]:
    """Every change of an organisation, the earliest first."""
    question = select(OrganisationChange).where(OrganisationChange.organisation_id == number)
    return list(db.session.scalars(question.order_by(OrganisationChange.effective_on, OrganisationChange.id)))
