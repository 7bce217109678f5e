"""Figures for those outside a subtree: small cells are not shown, nor anything from which one could be derived.

Pure and without knowledge of rooms. A tree of cells is handed in; each inner cell is the sum of those below it. What
comes back may be shown as a whole. It protects one tree at a time: two views of the same people, or the same view at
two moments, must not be shown side by side for the same few.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

THRESHOLD = 10

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Cell(Generic[Key]):
    """A count, the cell that it is part of, and out of how many it is, where that is known to whoever looks."""

    count: int
    parent: Key | None = None
    of: int | None = None

    def small(self, threshold: int) -> bool:
        """Whether so few are counted, or so few are left out, that they could be known by name.

        Nobody at all is said where nobody knows who could have been meant; out of a known group it would tell of each.
        """
        if self.of is None:
            return 0 < self.count < threshold
        return self.count < threshold or self.of - self.count < threshold


def shown(cells: Mapping[Key, Cell[Key]], *, threshold: int = THRESHOLD) -> dict[Key, int | None]:
    """Each cell's count, or None where it must not be shown.

    Below a hidden cell everything is hidden. The hidden parts of a shown cell could be anything: for a small one the
    range that all shown cells leave is at least `threshold` wide, or everything that it can be.
    """
    families = by_parent(cells)
    small = [key for key, cell in cells.items() if cell.small(threshold)]
    hidden, delicate = with_parts(small, families), with_wholes(small, cells)
    # From below: a sum that cannot be shown is hidden before the sums that it is part of are looked at.
    for whole in reversed(from_above(cells, families)):
        parts = families[whole]
        while whole not in hidden:
            concealed = {part: cells[part] for part in parts if part in hidden}
            if not concealed or protected(concealed, delicate, threshold):
                break
            # The smallest of the shown parts, or the sum itself when no part is left to hide.
            left = [part for part in parts if part not in hidden]
            more = min(left, key=lambda part: (cells[part].count, repr(part)), default=whole)
            hidden |= with_parts([more], families)
    return {key: None if key in hidden else cell.count for key, cell in cells.items()}


def by_parent(cells: Mapping[Key, Cell[Key]]) -> dict[Key, list[Key]]:
    """The parts of each cell that has some."""
    families: dict[Key, list[Key]] = defaultdict(list)
    for key, cell in cells.items():
        if cell.parent is not None:
            families[cell.parent].append(key)
    return dict(families)


def from_above(cells: Mapping[Key, Cell[Key]], families: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """The cells that have parts, each before those below it."""
    found = [key for key, cell in cells.items() if cell.parent is None]
    for key in found:
        found += families.get(key, ())
    return [key for key in found if key in families]


def with_parts(hidden: Iterable[Key], families: Mapping[Key, Sequence[Key]]) -> set[Key]:
    """`hidden` and everything below it."""
    found = set(hidden)
    look_at = list(found)
    while look_at:
        parts = [part for part in families.get(look_at.pop(), ()) if part not in found]
        found.update(parts)
        look_at += parts
    return found


def with_wholes(small: Iterable[Key], cells: Mapping[Key, Cell[Key]]) -> set[Key]:
    """`small` and everything that it is part of."""
    found: set[Key] = set()
    for key in small:
        at: Key | None = key
        while at is not None and at not in found:
            found.add(at)
            at = cells[at].parent
    return found


def protected(concealed: Mapping[Key, Cell[Key]], delicate: Collection[Key], threshold: int) -> bool:
    """Whether their sum, which anybody can work out, leaves enough open.

    `threshold` for each that is small or has a small one below it, which is known as closely as it is itself; a
    little for the others.
    """
    total = sum(cell.count for cell in concealed.values())
    known = sum(cell.of or 0 for cell in concealed.values())
    unknown = sum(cell.of is None for cell in concealed.values())
    for key, cell in concealed.items():
        others = math.inf if unknown - (cell.of is None) else known - (cell.of or 0)
        base = math.inf if cell.of is None else cell.of
        open_range = min(base, total) - max(0, total - others)
        if open_range < min(base, threshold if key in delicate else 1):
            return False
    return True
