"""An organisation's affiliations as a list that is cut and joined day by day; plain values, no database."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

# Stand for "always" at either end, so that days compare without a case for none.
FIRST, LAST = date.min, date.max

Span = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Tie:
    """Below `parent`, or at the top, from `since` until the day before `until`."""

    parent: int | None
    home: bool
    since: date = FIRST
    until: date = LAST

    @property
    def span(self) -> Span:
        """Its days."""
        return self.since, self.until


def before(ties: Iterable[Tie], day: date) -> list[Tie]:
    """What of `ties` lies before `day`."""
    return [replace(tie, until=min(tie.until, day)) for tie in ties if tie.since < day]


def after(ties: Iterable[Tie], day: date) -> list[Tie]:
    """What of `ties` lies on and after `day`."""
    return [replace(tie, since=max(tie.since, day)) for tie in ties if tie.until > day]


def home_on(ties: Iterable[Tie], day: date) -> Tie | None:
    """The home in force on `day`."""
    return next((tie for tie in ties if tie.home and tie.since <= day < tie.until), None)


def moved(ties: Iterable[Tie], tie: Tie, to: int | None, day: date) -> list[Tie]:
    """`ties` with `tie` cut at `day` and its rest below `to`: up to the next change that is recorded, not beyond."""
    rest = [one for one in ties if one != tie]
    return tidy([*rest, *before([tie], day), *(replace(one, parent=to) for one in after([tie], day))])


def life(ties: Iterable[Tie]) -> Span | None:
    """From the founding to the day after the last; None if it never was. A life has no gaps."""
    spans = [tie.span for tie in ties if tie.home]
    return (min(since for since, _ in spans), max(until for _, until in spans)) if spans else None


def tidy(ties: Iterable[Tie]) -> list[Tie]:
    """The same days with no tie twice: neighbours joined, and no joint parent that is the home as well."""
    found = []
    for (parent, home), group in groupby(sorted(ties, key=_kind), key=_kind):
        found += [Tie(parent or None, home, *span) for span in union(tie.span for tie in group)]
    homes = [tie for tie in found if tie.home]
    joint = [part for tie in found if not tie.home for part in _beside(tie, homes)]
    return sorted([*homes, *joint], key=lambda tie: (tie.since, not tie.home, tie.parent or 0))


def union(spans: Iterable[Span]) -> list[Span]:
    """The days of `spans`, neighbours joined."""
    joined: list[Span] = []
    for since, until in sorted(spans):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        elif since < until:
            joined.append((since, until))
    return joined


def _kind(tie: Tie) -> tuple[int, bool]:
    return tie.parent or 0, tie.home


def _beside(tie: Tie, homes: Iterable[Tie]) -> list[Tie]:
    parts = [tie]
    for home in homes:
        if home.parent == tie.parent:
            parts = [*before(parts, home.since), *after(parts, home.until)]
    return parts
