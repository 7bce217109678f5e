"""Which nodes of the two trees an organiser may watch in a stream, and what is shown of each: itself and its children.

Home (organisations) and present place (divisions) are two views of the same people and are never added. A stream of
another organisation's activity looks like one that does not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from service.activity.audience import organiser_may_watch, organising
from service.activity.models import Stream
from service.errors import ServiceError
from service.extensions import db
from service.live.scripts import Slot, slots_of
from service.org.models import Division, Organisation, covers
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

    @property
    def stream(self) -> int:
        """The stream that all the slots are of."""
        return self.slots[0].stream


def view_of(organiser: Organiser, stream: int, *, organisation: int | None = None, place: str | None = None) -> View:
    """The subscription to one node of either tree, without a node to the top of what the organiser may see.

    ServiceError stream_unknown; not_found, also for a node outside the activity and the organiser's own part.
    """
    if not organiser_may_watch(organiser, stream):
        raise ServiceError("stream_unknown")
    home, homes = home_of(organiser, stream, organisation)
    there, places = place_of(place)
    shards = db.session.scalars(scoped(select(Stream.shards), Stream.id == stream)).one()
    return View(slots_of(stream, shards), home, tuple(homes), there, tuple(places))


def home_of(organiser: Organiser, stream: int, wanted: int | None) -> tuple[Home | None, list[Home]]:
    """The wanted organisation and its children; None and the highest organising organisations if none is wanted."""
    if wanted is None:
        return None, [(root.id, root.name) for root in highest(organising(stream))]
    found = permitted(organiser, stream, wanted)
    children = select(Organisation.id, Organisation.name).where(Organisation.parent_id == found.id)
    rows = db.session.execute(children.order_by(Organisation.id).limit(MOST_CHILDREN))
    return (found.id, found.name), [(row.id, row.name) for row in rows]


def permitted(organiser: Organiser, stream: int, wanted: int) -> Organisation:
    """The organisation `wanted`, below one that holds the activity or in the organiser's part of the tree."""
    found = db.session.get(Organisation, wanted)
    roots = (*organiser.paths("activities"), *(root.path for root in organising(stream)))
    if found is None or not any(covers(path, found.path) for path in roots):
        raise ServiceError("not_found")
    return found


def place_of(wanted: str | None) -> tuple[Place | None, list[Place]]:
    """The wanted division and its children that exist today; None and the provinces if none is wanted."""
    found = db.session.get(Division, wanted) if wanted is not None else None
    if wanted is not None and found is None:
        raise ServiceError("not_found")
    below = Division.parent_code == found.code if found else Division.parent_code.is_(None)
    children = select(Division.code, Division.name).where(below, Division.valid_to.is_(None))
    rows = db.session.execute(children.order_by(Division.code).limit(MOST_CHILDREN))
    return (found.code, found.name) if found else None, [(row.code, row.name) for row in rows]


def highest(organisations: Sequence[Organisation]) -> list[Organisation]:
    """Those that lie below no other one of them, in their order."""
    paths = [one.path for one in organisations]
    return [one for one in organisations if not any(path != one.path and covers(path, one.path) for path in paths)]


def curved_organisations() -> list[int]:
    """The organisations that a curve is kept of: to the county, for there are too many branches."""
    return list(db.session.scalars(select(Organisation.id).where(Organisation.level.in_(CURVED_ORGANISATIONS))))


def curved_places() -> list[str]:
    """The divisions of today that a curve is kept of, to the county."""
    return list(
        db.session.scalars(select(Division.code).where(Division.level.in_(CURVED_PLACES), Division.valid_to.is_(None)))
    )
