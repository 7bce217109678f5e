"""One timer wheel per worker: every deadline of every connection, without a timer object for any of them.

Promises: an entry costs one list slot; it comes out once, at its tick or at the first `advance` after it. Entries are
never removed: an owner that changed its mind sees that the tick is no longer the one it is due at, and ignores it.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Wheel(Generic[Entry]):
    """Entries by the tick at which they are due."""

    __slots__ = ("_buckets", "now")

    def __init__(self) -> None:
        self.now = 0
        # The tick is kept beside its entries, so that all of them share one integer object.
        self._buckets: dict[int, tuple[int, list[Entry]]] = {}

    def add(self, entry: Entry, ticks: int) -> int:
        """Put `entry` in for at least one tick from now; the tick at which it will come out."""
        due = self.now + max(ticks, 1)
        bucket = self._buckets.get(due)
        if bucket is None:
            bucket = self._buckets[due] = (due, [])
        bucket[1].append(entry)
        return bucket[0]

    def __iter__(self) -> Iterator[Entry]:
        """Every entry that has not come out yet, also outdated ones."""
        for _, entries in self._buckets.values():
            yield from entries

    def advance(self) -> list[Entry]:
        """Go one tick on; what is due now."""
        self.now += 1
        _, due = self._buckets.pop(self.now, (0, []))
        return due
