"""Which figures of a view may be shown to the organiser who watches it: the one place where figures leave a subtree.

Exact are the nodes of the organiser's own part of the tree. Of all others, and of places while anybody of another part
is online, small cells are hidden, and what would give one away; what is not known to be harmless is hidden. The total
of the stream is no secret: every member's phone shows it. Of check-ins an organiser can see where and how his own
people made them, so that by place and method the others alone are judged.

A node is shown if its family, the node above it and all below that, lets it be shown, and so on up to the top. That
does not depend on what else is asked for, so that no two answers of one moment tell more than each does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from service.live.figures import Snapshot
from service.live.turnout import Sums
from service.small_cells import Cell, shown

Key = TypeVar("Key", int, str)

# No node is called so: they have numbers and codes of digits.
WHOLE, REST = "whole", "rest"


@dataclass(frozen=True, slots=True)
class Family(Generic[Key]):
    """A node outside of the organiser's part, None for the whole stream, and what lies below it and outside too."""

    whole: Key | None
    parts: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """How an organiser stands to what he watches: his own part, and the families from the top down to what is shown."""

    # The ways from the top of the tree to the highest nodes of his part.
    own: tuple[tuple[int, ...], ...]
    # Which organisations of the view lie in his part.
    mine: frozenset[int]
    homes: tuple[Family[int], ...] = ()
    places: tuple[Family[str], ...] = ()

    @property
    def organisations(self) -> Iterator[int]:
        """Those whose figures are needed to tell what may be shown."""
        yield from (way[-1] for way in self.own)
        yield from members_of(self.homes)

    @property
    def divisions(self) -> Iterator[str]:
        """The same for places."""
        return members_of(self.places)

    @property
    def tops(self) -> frozenset[int]:
        """The highest nodes of his part."""
        return frozenset(way[-1] for way in self.own)

    def outside(self, node: int, counts: Mapping[int, int]) -> int:
        """How many of those at `node` are of another part than the organiser's."""
        return counts.get(node, 0) - sum(counts.get(way[-1], 0) for way in self.own if node in way[:-1])


class Told(NamedTuple):
    """The parts of a snapshot as they may be shown; None where that is not so."""

    organisations: Mapping[int, int | None]
    places: Mapping[str, int | None]
    channels: Mapping[str, int | None]
    sources: Mapping[str, int | None]


class Came(NamedTuple):
    """Who has checked in, as it may be shown; a node that is missing may not."""

    organisations: Mapping[int, int]
    places: Mapping[str, int]
    methods: Mapping[str, int | None]


def members_of(families: Sequence[Family[Key]]) -> Iterator[Key]:
    """Everybody in `families`."""
    for family in families:
        if family.whole is not None:
            yield family.whole
        yield from family.parts


def disclosed(seen: Snapshot, outlook: Outlook) -> Told:
    """The parts of `seen` as its organiser may see them."""
    counts = seen.organisations
    others = seen.online - sum(counts.get(way[-1], 0) for way in outlook.own)
    if others <= 0:
        return Told(counts, seen.places, seen.channels, seen.sources)
    homes = told(outlook.homes, others, lambda node: outlook.outside(node, counts))
    places = told(outlook.places, seen.online, lambda node: seen.places.get(node, 0))
    return Told(
        organisations={node: counts[node] if node in outlook.mine | homes else None for node in counts},
        places={node: count if node in places else None for node, count in seen.places.items()},
        channels=sorts(seen.channels, seen.online),
        sources=sorts(seen.sources, seen.online),
    )


def turned_out(seen: Sums, outlook: Outlook, organisations: Iterable[int], places: Iterable[str]) -> Came:
    """Of those who have checked in, what the organiser may see at these nodes and by method."""
    homes, there, methods = set(organisations), set(places), set(seen.methods)
    if seen.others:
        by_method = {method: seen.others_methods[method] for method in methods}
        homes &= outlook.mine | told(outlook.homes, seen.others, lambda node: outlook.outside(node, seen.homes))
        there &= told(outlook.places, seen.others, lambda node: seen.others_places[node])
        methods = harmless(seen.others, by_method)
    return Came(
        organisations={node: seen.homes[node] for node in homes},
        places={node: seen.places[node] for node in there},
        methods={method: count if method in methods else None for method, count in seen.methods.items()},
    )


def told(families: Sequence[Family[Key]], total: int, count: Callable[[Key], int]) -> set[Key]:
    """Which nodes may be shown, the highest family first; nothing below one that may not."""
    found: set[Key] = set()
    for family in families:
        if family.whole is None:
            found |= harmless(total, {part: count(part) for part in family.parts})
        elif family.whole in found:
            found |= harmless(count(family.whole), {part: count(part) for part in family.parts})
    return found


def harmless(whole: int, parts: Mapping[Key, int]) -> set[Key]:
    """Which of `parts` may be shown beside their whole; who is in none of them is a part too."""
    cells: dict[int | str, Cell[int | str]] = {WHOLE: Cell(whole)}
    cells[REST] = Cell(max(0, whole - sum(parts.values())), WHOLE)
    cells |= {part: Cell(count, WHOLE) for part, count in parts.items()}
    verdict = shown(cells)
    return {part for part in parts if verdict[part] is not None}


def sorts(counts: Mapping[str, int], total: int) -> dict[str, int | None]:
    """How many there are of each sort, None where that is not shown."""
    kept = harmless(total, counts)
    return {sort: count if sort in kept else None for sort, count in counts.items()}
