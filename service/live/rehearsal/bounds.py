"""The bounds that the members' own count sets to every snapshot on the wall."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.live.rehearsal.plan import Progress

# A leave is answered at once and counted with the next flush, 0.1 s later at most; a loss has to be noticed first.
LEAVE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Shown:
    """One snapshot as the organiser's client got it; times in Unix seconds."""

    heard: float
    as_of: float
    online: int | None
    connections: int | None
    exact: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What the members counted between two moments: `fewest` are surely inside, `most` may be."""

    oldest: float
    newest: float
    fewest: int
    most: int

    @classmethod
    def of(cls, progress: Progress) -> "Counted":
        """Who drops, asks or leaves just now may be counted or not."""
        tally = progress.tally
        doubtful = tally.away + tally.asking + tally.leaving
        return cls(progress.oldest, progress.newest, tally.online, tally.online + doubtful)


@dataclass(frozen=True, slots=True)
class Audit:
    """A snapshot called exact, and the bounds that the members' own count leaves it: one number when they rest."""

    shown: Shown
    fewest: int
    most: int

    @property
    def agrees(self) -> bool:
        """Whether the snapshot lies within."""
        return self.shown.online is not None and self.fewest <= self.shown.online <= self.most

    @property
    def at_rest(self) -> bool:
        """Whether nobody came or went around it."""
        return self.fewest == self.most


def audits(shown: Sequence[Shown], counted: Sequence[Counted]) -> list[Audit]:
    """Every snapshot called exact before which and after which the members said how many they are, the oldest first.

    The bounds of a moment are those of everything that the members said around it: from the last words that all were
    said before it to the first that all were said after it. Who has left may count for LEAVE_SECONDS more.
    """
    found, first = [], 0
    for one in sorted(shown, key=lambda snapshot: snapshot.as_of):
        while first + 1 < len(counted) and counted[first + 1].newest <= one.as_of - LEAVE_SECONDS:
            first += 1
        around = bracket(counted, first, one.as_of)
        if one.exact and one.online is not None and around:
            found.append(Audit(one, min(said.fewest for said in around), max(said.most for said in around)))
    return found


def outside(shown: Sequence[Shown], counted: Sequence[Counted]) -> list[tuple[Shown, int, int]]:
    """The snapshots called exact that the members' own count contradicts, each with the bounds that it leaves."""
    return [(one.shown, one.fewest, one.most) for one in audits(shown, counted) if not one.agrees]


def bracket(counted: Sequence[Counted], first: int, moment: float) -> Sequence[Counted]:
    """What was said around `moment`, beginning with `counted[first]`; nothing if it is not enclosed."""
    if not counted or counted[first].newest > moment:
        return ()
    for last in range(first, len(counted)):
        if counted[last].oldest >= moment:
            return counted[first : last + 1]
    return ()
