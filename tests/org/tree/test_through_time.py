"""Random dated changes against the tree written out day by day: whoever stood below whom, on any day."""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.extensions import db as database
from service.org.entries import Entry
from service.org.models import ORGANISATION_LEVELS, Member, Organisation
from service.org.tree import asof, changes
from service.org.tree.changes import Founding
from service.org.tree.models import DatedPath
from tests.org.tree.oracle import AGE, TODAY, Oracle, day

DAYS, PAST = st.integers(0, AGE - 1), st.integers(0, TODAY)
ENTRY = Entry(day(TODAY))
_names = count(1)


class Tree(RuleBasedStateMachine):
    """Every rule is tried on the oracle first, which also says whether it must be refused."""

    def __init__(self) -> None:
        super().__init__()
        database.session.rollback()
        self.oracle = Oracle()
        self.numbers: list[int] = []
        self.homes: dict[int, int] = {}

    def pick(self, data: st.DataObject, of: Iterable[int] = ()) -> int:
        """One of the organisations, or of these if there are any."""
        numbers = sorted(of) or self.numbers
        return numbers[data.draw(st.integers(0, len(numbers) - 1))]

    def attempt(self, allowed: bool, rule: Callable[..., Any], *values: Any, **more: Any) -> bool:
        """Whether `rule` did it, which must be whether it is allowed."""
        if not allowed:
            with pytest.raises(ServiceError):
                rule(*values, **more, entry=ENTRY)
            database.session.rollback()
        else:
            rule(*values, **more, entry=ENTRY)
        return allowed

    @initialize()
    def plant(self) -> None:
        """Two counties in each of two cities, a branch in each; a joint body in the first county."""
        for level, above in (("province", None), ("city", 0), ("city", 0), *(("county", n) for n in (1, 1, 2, 2))):
            self.enter(Founding(f"组织{next(_names)}", level, self.numbers[above] if above is not None else None), on=0)
        for county in self.numbers[3:7]:
            self.enter(Founding(f"组织{next(_names)}", "branch", county), on=0)
        self.enter(Founding(f"组织{next(_names)}", "branch", self.numbers[3], joint="service"), on=0)

    def enter(self, new: Founding, on: int) -> None:
        number = changes.found(new, on=day(on), entry=ENTRY)
        self.oracle.names[number] = [new.name] * AGE
        self.oracle.found(number, parent=new.parent, level=new.level, joint=bool(new.joint), on=on)
        self.numbers.append(number)
        member = Member(name="甲", organisation_id=number, status="left")
        database.session.add(member)
        database.session.commit()
        self.homes[member.id] = number

    @rule(data=st.data(), level=st.sampled_from(ORGANISATION_LEVELS), on=PAST, joint=st.booleans())
    def found(self, data: st.DataObject, level: str, on: int, joint: bool) -> None:
        parent = self.pick(data)
        new = Founding(f"组织{next(_names)}", level, parent, joint="functional" if joint else None)
        self.oracle.level[0] = level
        if self.oracle.exists(parent, on) and self.oracle.fits(0, parent):
            self.enter(new, on)
        else:
            self.attempt(False, changes.found, new, on=day(on))

    @rule(data=st.data(), on=DAYS, likely=st.booleans())
    def move(self, data: st.DataObject, on: int, likely: bool) -> None:
        number = self.pick(data)
        to = self.pick(data, [one for one in self.numbers if likely and self.oracle.may_move(number, one, on)])
        if self.attempt(self.oracle.may_move(number, to, on), changes.move, number, to=to, on=day(on)):
            self.oracle.move(number, to, on)

    @rule(data=st.data(), on=DAYS)
    def merge(self, data: st.DataObject, on: int) -> None:
        number = self.pick(data)
        into = self.pick(data, [one for one in self.numbers if self.oracle.may_merge(number, one, on)])
        repeated = self.oracle.merged.get(number) == (into, on)
        allowed = repeated or self.oracle.may_merge(number, into, on)
        if self.attempt(allowed, changes.merge, number, into=into, on=day(on)) and not repeated:
            self.oracle.merge(number, into, on)

    @rule(data=st.data(), on=DAYS)
    def close(self, data: st.DataObject, on: int) -> None:
        number = self.pick(data)
        if number not in self.oracle.closed and self.attempt(
            self.oracle.may_close(number, on), changes.close, number, on=day(on)
        ):
            self.oracle.close(number, on)

    @rule(data=st.data(), on=DAYS, lasts=st.integers(1, AGE))
    def join(self, data: st.DataObject, on: int, lasts: int) -> None:
        number, until = self.pick(data, self.oracle.joint_bodies), min(on + lasts, AGE)
        parent = self.pick(data, self.oracle.descendants(self.numbers[0], on) - self.oracle.joint_bodies)
        allowed = self.oracle.may_join(number, parent, on, until)
        end = day(until) if until < AGE else None
        if self.attempt(allowed, changes.join, number, parent=parent, on=day(on), until=end):
            self.oracle.join(number, parent, on, until)

    @rule(data=st.data(), on=DAYS)
    def part(self, data: st.DataObject, on: int) -> None:
        number = self.pick(data, self.oracle.joint_bodies)
        parent = self.pick(data, self.oracle.joint[on].get(number, ()))
        self.attempt(True, changes.part, number, parent=parent, on=day(on))
        self.oracle.part(number, parent, on)

    @rule(data=st.data(), on=PAST)
    def rename(self, data: st.DataObject, on: int) -> None:
        number, name = self.pick(data), f"组织{next(_names)}"
        if self.attempt(number in self.oracle.home[on], changes.rename, number, name=name, on=day(on)):
            names = self.oracle.names[number]
            for n in self.oracle_run(names, on):
                names[n] = name

    def oracle_run(self, names: list[str], on: int) -> list[int]:
        """The days from `on` on which the name is the same by what is recorded."""
        return [n for n in range(on, AGE) if len(set(names[on : n + 1])) == 1]

    @rule(data=st.data(), n=DAYS)
    def ask(self, data: st.DataObject, n: int) -> None:
        """What doors ask for, of one organisation on one day."""
        number, on, oracle = self.pick(data), day(n), self.oracle
        shown = [one.id for one in asof.subtree(number, on)]
        assert len(shown) == len(set(shown))
        assert set(shown) == oracle.descendants(number, n)
        assert {one.id for one in asof.children(number, on)} == oracle.children(number, n)
        assert asof.ancestors(number, on) == oracle.ancestors(number, n)
        node = asof.node(number, on)
        assert (node is not None) == (number in oracle.home[n])
        if node is not None:
            assert node.path == written(oracle.home_path(number, n))
            assert node.name == oracle.names[number][n]

    @invariant()
    def every_path_of_every_day_agrees(self) -> None:
        rows = database.session.execute(
            select(DatedPath.path, DatedPath.during, DatedPath.home).where(DatedPath.organisation_id.in_(self.numbers))
        ).all()
        for n in range(AGE):
            shown = sorted((path, home) for path, during, home in rows if during.contains(day(n)))
            assert shown == sorted(
                (written(path), path == self.oracle.home_path(number, n))
                for number in self.oracle.home[n]
                for path in self.oracle.paths(number, n)
            )

    @invariant()
    def today_shows_in_organisations(self) -> None:
        question = select(Organisation.id, Organisation.path, Organisation.parent_id)
        for number, path, parent in database.session.execute(question.where(Organisation.id.in_(self.numbers))):
            if number in self.oracle.home[TODAY]:
                assert path == written(self.oracle.home_path(number, TODAY))
                assert parent == self.oracle.home[TODAY][number]


def written(path: tuple[int, ...]) -> str:
    """A path as it is stored."""
    return ".".join(map(str, path))


def test_the_tree_of_any_day_is_what_the_changes_made_it(db: Session) -> None:
    limits = settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True, phases=[Phase.generate])
    run_state_machine_as_test(Tree, settings=limits)
