"""Activities as they were a moment ago: at nine o'clock everybody asks for the same one.

Promises: at most `seconds` old, and never older than the last edit that this process made; what is kept is shared, and
must not be changed. Whether somebody may see it is asked each time, elsewhere.
"""

import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

MOST = 256

Shape = dict[str, Any]


class Kept(NamedTuple):
    """An activity's shape and until when it is good."""

    shape: Shape
    until: float


class Recent:
    """Shapes by whatever they depend on."""

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[Hashable, Kept] = {}
        self._edits = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Shape]) -> Shape:
        """The shape of `key`, made anew when it is too old."""
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and now < kept.until:
            return kept.shape
        if kept is not None:
            # While it is made, the others of this moment go on with the one there is.
            self._kept[key] = Kept(kept.shape, now + self._seconds)
        elif len(self._kept) >= MOST:
            self._kept.clear()
        edits, shape = self._edits, make()
        if edits == self._edits:
            self._kept[key] = Kept(shape, now + self._seconds)
        return shape

    def forget(self) -> None:
        """Something was edited."""
        self._edits += 1
        self._kept.clear()
