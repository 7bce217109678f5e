"""Who has checked in, by home, place and method, for the walls of one web process.

The checkin room, to the right of this one, counts in PostgreSQL and lends how (`app.extensions["turnout"]`). Promises:
what is shown is what PostgreSQL had at `as_of`, whatever died between a commit and a flush, and Valkey has no part in
it; once a minute everything is counted anew, corrected if it differs, and what was corrected is counted.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# A reading is told as exact for so long.
FRESH = timedelta(seconds=5)
RECOUNT = timedelta(seconds=60)

Reason = Literal["rebuilding", "database"]
# A stream, and the nodes whose people are the viewer's own.
Key = tuple[int, frozenset[int]]

log = structlog.get_logger(__name__)


@dataclass
class Sums:
    """People who have checked in, by home, place and method; of those outside of the own nodes apart, by the last two.

    At a node they are counted with all below it; home and place are two views of the same people.
    """

    homes: Counter[int] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    others_places: Counter[str] = field(default_factory=Counter)
    others_methods: Counter[str] = field(default_factory=Counter)

    def changed(self, *, by: "Sums", less: "Sums") -> "Sums":
        """Others, with those of `by` and without those of `less`."""
        found = Sums(*(part.copy() for part in self.parts))
        for part, more, fewer in zip(found.parts, by.parts, less.parts, strict=True):
            part.update(more)
            part.subtract(fewer)
        return found

    @property
    def parts(self) -> tuple[Counter[Any], ...]:
        """All of it."""
        return self.homes, self.places, self.methods, self.others_places, self.others_methods

    @property
    def total(self) -> int:
        """Everybody, each once."""
        return self.methods.total()

    @property
    def others(self) -> int:
        """Those outside of the own nodes."""
        return self.others_methods.total()

    def differing(self, other: "Sums") -> int:
        """How many figures are not the same."""
        pairs = zip(self.parts, other.parts, strict=True)
        return sum(mine[node] != theirs[node] for mine, theirs in pairs for node in {*mine, *theirs})


class Ledger(Protocol):
    """What counts one stream's check-ins."""

    def read(self) -> Sums | None:
        """Those that stand now; None as long as it cannot be known."""

    def recount(self) -> int:
        """Count everything anew; how many figures had to be corrected."""


Opening = Callable[[int, Collection[int]], Ledger]


@dataclass
class Turnout:
    """What was read last, and when."""

    ledger: Ledger
    counted_at: datetime
    as_of: datetime | None = None
    sums: Sums | None = None

    def reason(self, now: datetime) -> Reason | None:
        """Why it is not to be called exact."""
        if self.as_of is None:
            return "rebuilding"
        return "database" if now - self.as_of > FRESH else None


class Turnouts:
    """The turnouts that the walls of this process show."""

    def __init__(self, corrected: Callable[[int], object] = lambda _: None) -> None:
        self._corrected = corrected
        self._known: dict[Key, Turnout] = {}

    def of(self, key: Key) -> Turnout | None:
        """What is known of one."""
        return self._known.get(key)

    def read(self, wanted: Collection[Key], opening: Opening, now: datetime) -> None:
        """Read what is wanted and forget the rest; what cannot be read is told as it was."""
        self._known = {key: one for key, one in self._known.items() if key in wanted}
        for key in wanted:
            try:
                self._read(key, self._known.get(key) or self._open(key, opening, now), now)
            except (DBAPIError, PoolTimeout) as error:
                log.warning("check-ins cannot be counted", stream=key[0], error=type(error).__name__)
                return

    def _open(self, key: Key, opening: Opening, now: datetime) -> Turnout:
        self._known[key] = one = Turnout(opening(*key), now)
        return one

    def _read(self, key: Key, one: Turnout, now: datetime) -> None:
        if now - one.counted_at > RECOUNT:
            one.counted_at = now
            if wrong := one.ledger.recount():
                self._corrected(wrong)
                log.error("check-ins were counted wrong", stream=key[0], figures=wrong)
        if (sums := one.ledger.read()) is not None:
            one.sums, one.as_of = sums, now
