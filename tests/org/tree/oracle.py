"""The tree through time in plain Python: every day of a short age written out, one dictionary a day."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from service.org.models import ORGANISATION_LEVELS

AGE = 16
BEGIN = date(2024, 1, 1)
TODAY = 8

Joint = dict[int, set[int]]


def day(number: int) -> date:
    """The date of a day of the age; the last one stands for all that follow."""
    return BEGIN + timedelta(number)


@dataclass
class Oracle:
    """`home[n][organisation]` is its parent on day n, `joint[n][body]` the other parents; absent: did not exist."""

    home: list[dict[int, int | None]] = field(default_factory=lambda: [{} for _ in range(AGE)])
    joint: list[Joint] = field(default_factory=lambda: [{} for _ in range(AGE)])
    level: dict[int, str] = field(default_factory=dict)
    joint_bodies: set[int] = field(default_factory=set)
    names: dict[int, list[str]] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    merged: dict[int, tuple[int, int]] = field(default_factory=dict)

    def exists(self, number: int, since: int, until: int = AGE) -> bool:
        """Whether it exists on all these days."""
        return all(number in self.home[n] for n in range(since, until))

    def run(self, number: int, on: int) -> range:
        """The days from `on` until its parent changes by what is recorded."""
        end = on
        while end < AGE and number in self.home[end] and self.home[end][number] == self.home[on][number]:
            end += 1
        return range(on, end)

    def fits(self, child: int, parent: int) -> bool:
        """Whether their levels allow it."""
        order = ORGANISATION_LEVELS.index
        return parent not in self.joint_bodies and order(self.level[parent]) <= order(self.level[child])

    def paths(self, number: int, n: int) -> set[tuple[int, ...]]:
        """Every path to it on a day."""
        if number not in self.home[n]:
            return set()
        parents = {self.home[n][number], *self.joint[n].get(number, ())}
        return {(*above, number) for parent in parents for above in ([()] if parent is None else self.paths(parent, n))}

    def home_path(self, number: int, n: int) -> tuple[int, ...]:
        """The path through homes alone."""
        parent = self.home[n][number]
        return (*(() if parent is None else self.home_path(parent, n)), number)

    def ancestors(self, number: int, n: int) -> set[int]:
        """All above it on a day."""
        return {one for path in self.paths(number, n) for one in path[:-1]}

    def descendants(self, number: int, n: int) -> set[int]:
        """It and all below it on a day."""
        if number not in self.home[n]:
            return set()
        return {number} | {one for one in self.home[n] if number in self.ancestors(one, n)}

    def children(self, number: int, n: int) -> set[int]:
        """Who stands directly below it."""
        homes = {one for one, parent in self.home[n].items() if parent == number}
        return homes | {one for one, parents in self.joint[n].items() if number in parents}

    def found(self, number: int, *, parent: int | None, level: str, joint: bool, on: int) -> None:
        """A new one."""
        self.level[number] = level
        if joint:
            self.joint_bodies.add(number)
        for n in range(on, AGE):
            self.home[n][number] = parent

    def may_move(self, number: int, to: int, on: int) -> bool:
        """Whether `move` is possible."""
        days = self.run(number, on) if number in self.home[on] else range(0)
        same = bool(days) and self.home[on][number] == to
        circle = any(number in self.home_path(to, n) for n in range(on, AGE) if to in self.home[n])
        return same or (bool(days) and all(to in self.home[n] for n in days) and self.fits(number, to) and not circle)

    def move(self, number: int, to: int, on: int) -> None:
        """Below another parent."""
        for n in self.run(number, on):
            self.home[n][number] = to
            self.joint[n].get(number, set()).discard(to)

    def may_end(self, number: int, on: int) -> bool:
        """Whether it exists just before `on` and its end has not been entered."""
        return number not in self.closed and on > 0 and number in self.home[on - 1]

    def may_close(self, number: int, on: int) -> bool:
        """Whether `close` is possible."""
        empty = not any(self.children(number, n) for n in range(on, AGE))
        awaited = any(into == number and when > TODAY for into, when in self.merged.values())
        return self.may_end(number, on) and empty and not awaited

    def may_merge(self, number: int, into: int, on: int) -> bool:
        """Whether `merge` is possible."""
        return (
            self.may_end(number, on)
            and self.exists(into, on)
            and (self.fits(number, into) or {number, into} <= self.joint_bodies)
            and ORGANISATION_LEVELS.index(self.level[into]) <= ORGANISATION_LEVELS.index(self.level[number])
            and not any(number in self.home_path(into, n) for n in range(on, AGE))
        )

    def merge(self, number: int, into: int, on: int) -> None:
        """Its children are `into`'s."""
        for n in range(on, AGE):
            for child in self.children(number, n):
                joint = self.joint[n].setdefault(child, set())
                if self.home[n].get(child) == number:
                    self.home[n][child] = into
                if number in joint:
                    joint.add(into)
                joint -= {number, self.home[n][child]}
        self.merged[number] = into, on
        self.close(number, on)

    def close(self, number: int, on: int) -> None:
        """No more."""
        self.closed.add(number)
        for n in range(on, AGE):
            self.home[n].pop(number, None)
            self.joint[n].pop(number, None)

    def joint_days(self, number: int, on: int, until: int) -> range:
        """The days of `join` within the body's life."""
        return range(on, max((n + 1 for n in range(on, until) if number in self.home[n]), default=on))

    def may_join(self, number: int, parent: int, on: int, until: int) -> bool:
        """Whether `join` is possible."""
        days = self.joint_days(number, on, until)
        return (
            number in self.joint_bodies
            and number in self.home[on]
            and bool(days)
            and parent not in self.joint_bodies
            and all(parent in self.home[n] for n in days)
        )

    def join(self, number: int, parent: int, on: int, until: int) -> None:
        """One more parent."""
        for n in self.joint_days(number, on, until):
            if self.home[n][number] != parent:
                self.joint[n].setdefault(number, set()).add(parent)

    def part(self, number: int, parent: int, on: int) -> None:
        """One parent less."""
        for n in range(on, AGE):
            self.joint[n].get(number, set()).discard(parent)
