"""Which nodes of the two trees an organiser may watch in a stream, and what is shown of each: itself and its children.

Home (organisations) and present place (divisions) are two views of the same people and are never added. A stream of
another organisation's activity looks like one that does not exist.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, or_, select

from service.activity.audience import organiser_may_watch, organising
from service.activity.models import Stream
from service.errors import ServiceError
from service.extensions import db
from service.live.disclosure import Family, Outlook
from service.live.scripts import Slot, slots_of
from service.org.models import Division, Organisation, covers
from service.org.organisations import lineage
from service.org.organisers import Organiser
from service.scope import scoped

# More children than any node of the country has.
MOST_CHILDREN = 3000
CURVED_ORGANISATIONS = ("province", "city", "county")
CURVED_PLACES = ("province", "prefecture", "county")

Home = tuple[int, str]
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """What one subscription shows: a node of each tree with its children, all with their names."""

    slots: tuple[Slot, ...]
    organisation: Home | None
    organisations: tuple[Home, ...]
    place: Place | None
    places: tuple[Place, ...]
    outlook: Outlook

    @property
    def stream(self) -> int:
        """The stream that all the slots are of."""
        return self.slots[0].stream


def view_of(
    organiser: Organiser, stream: int, *, today: date, organisation: int | None = None, place: str | None = None
) -> View:
    """The subscription to one node of either tree, without a node to the top of what the organiser may see.

    ServiceError stream_unknown, forbidden (a node outside the activity and the organiser's own part), not_found.
    """
    if not organiser_may_watch(organiser, stream):
        raise ServiceError("stream_unknown")
    roots = highest([one for one in organising(stream) if one.closed_on is None or one.closed_on > today])
    home = permitted(organiser, organisation, roots) if organisation is not None else None
    below = children(home, today) if home else roots
    there, places = place_of(place)
    shards = db.session.scalars(scoped(select(Stream.shards), Stream.id == stream)).one()
    outlook = outlook_of(organiser, home, below, roots=roots, place=there, today=today)
    return View(
        slots_of(stream, shards),
        (home.id, home.name) if home else None,
        tuple((one.id, one.name) for one in below),
        (there.code, there.name) if there else None,
        tuple((one.code, one.name) for one in places),
        outlook,
    )


def permitted(organiser: Organiser, wanted: int, roots: Iterable[Organisation] = ()) -> Organisation:
    """The organisation `wanted`, in the organiser's part of the tree or below one of `roots`."""
    found = db.session.get(Organisation, wanted)
    if found is None:
        raise ServiceError("not_found")
    if not any(covers(path, found.path) for path in (*organiser.paths("activities"), *(one.path for one in roots))):
        raise ServiceError("forbidden")
    return found


def outlook_of(
    organiser: Organiser,
    home: Organisation | None,
    below: Sequence[Organisation],
    *,
    roots: Sequence[Organisation],
    place: Division | None,
    today: date,
) -> Outlook:
    """How the organiser stands to a view."""
    mine = [one.id for one in ([home] if home else []) + list(below) if organiser.may("activities", one.path)]
    return Outlook(
        own=tuple(tuple(lineage(path)) for path in organiser.paths("activities")),
        mine=frozenset(mine),
        homes=home_families(organiser, home, roots, today),
        places=place_families(place),
    )


def home_families(
    organiser: Organiser, home: Organisation | None, roots: Sequence[Organisation], today: date
) -> tuple[Family[int], ...]:
    """The families between the whole stream and an organisation with its children, as far as they are not his own."""
    if home is not None and organiser.may("activities", home.path):
        return ()
    top: Family[int] = Family(None, tuple(one.id for one in roots if not organiser.may("activities", one.path)))
    if home is None:
        return (top,)
    way = lineage(home.path)
    begin = next(place for place, node in enumerate(way) if node in top.parts)
    parts: dict[int, list[int]] = defaultdict(list)
    question = select(Organisation.id, Organisation.parent_id, Organisation.path).where(open_on(today))
    for row in db.session.execute(question.where(Organisation.parent_id.in_(way[begin:])).order_by(Organisation.id)):
        if not organiser.may("activities", row.path):
            parts[row.parent_id].append(row.id)
    return (top, *(Family(node, tuple(parts[node])) for node in way[begin:]))


def place_families(place: Division | None) -> tuple[Family[str], ...]:
    """The families between the whole stream and a division with its children."""
    way: list[str | None] = [None, *(place.path.split(".") if place else [])]
    parts: dict[str | None, list[str]] = defaultdict(list)
    above = or_(Division.parent_code.is_(None), Division.parent_code.in_(way[1:]))
    question = select(Division.code, Division.parent_code).where(above, Division.valid_to.is_(None))
    for row in db.session.execute(question.order_by(Division.code)):
        parts[row.parent_code].append(row.code)
    return tuple(Family(node, tuple(parts[node])) for node in way)


def children(parent: Organisation, today: date) -> Sequence[Organisation]:
    """Those directly below that are not closed, in their order."""
    question = select(Organisation).where(Organisation.parent_id == parent.id, open_on(today))
    return db.session.scalars(question.order_by(Organisation.id).limit(MOST_CHILDREN)).all()


def open_on(today: date) -> ColumnElement[bool]:
    """Whether an organisation is not closed."""
    return or_(Organisation.closed_on.is_(None), Organisation.closed_on > today)


def place_of(wanted: str | None) -> tuple[Division | None, Sequence[Division]]:
    """The wanted division and its children that exist today; None and the provinces if none is wanted."""
    found = db.session.get(Division, wanted) if wanted is not None else None
    if wanted is not None and found is None:
        raise ServiceError("not_found")
    below = Division.parent_code == found.code if found else Division.parent_code.is_(None)
    question = select(Division).where(below, Division.valid_to.is_(None))
    return found, db.session.scalars(question.order_by(Division.code).limit(MOST_CHILDREN)).all()


def highest(organisations: Sequence[Organisation]) -> list[Organisation]:
    """Those that lie below no other one of them, in their order."""
    paths = [one.path for one in organisations]
    return [one for one in organisations if not any(path != one.path and covers(path, one.path) for path in paths)]


def curved_organisations() -> list[int]:
    """The organisations that a curve is kept of: to the county, for there are too many branches."""
    kept = Organisation.level.in_(CURVED_ORGANISATIONS) | Organisation.parent_id.is_(None)
    return list(db.session.scalars(select(Organisation.id).where(kept)))


def curved_places() -> list[str]:
    """The divisions of today that a curve is kept of, to the county."""
    return list(
        db.session.scalars(select(Division.code).where(Division.level.in_(CURVED_PLACES), Division.valid_to.is_(None)))
    )
