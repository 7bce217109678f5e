"""The laws of attendance, against PostgreSQL and an oracle that writes everything down by hand.

Whatever is done in whatever order: at most one check-in stands per member and sitting, nothing disappears, every
answer is the one that the oracle expects, and the figures of every node add up to the oracle's.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from service.activity.models import Sitting
from service.checkin import annulling
from service.checkin.attendance import figures, leaves, make_ups, roster
from service.checkin.attendance.completion import Asked
from service.checkin.attendance.figures import Sums
from service.checkin.attendance.make_ups import Effort
from service.checkin.attendance.models import Leave, MakeUp
from service.checkin.group import figures as screens
from service.checkin.group import sessions
from service.checkin.group.figures import Screens
from service.checkin.group.models import Headcount
from service.checkin.group.sessions import Screen
from service.checkin.models import CheckIn, Refusal, Terms
from service.checkin.records import Attempt
from service.checkin.rules import check_in
from service.errors import ServiceError
from service.extensions import db as database
from service.org.models import Member, Organisation
from tests.checkin.people import NOW, attempt, long_ago, make_city, make_day, outcome
from tests.factories import HOUR, make_organiser

WHO, WHERE, NAMES = st.integers(0, 4), st.integers(0, 1), st.integers(0, 3)
# By the member himself, by two secretaries from their lists, and by the first one before a screen.
BY = st.sampled_from([None, 7, 8, "screen"])
ITEMS = st.lists(st.tuples(WHO, NAMES, WHERE, BY), min_size=1, max_size=6)
By = int | str | None
Body = tuple[int, int | None, int | None]


@dataclass
class Row:
    """A check-in as the oracle remembers it."""

    body: Body
    home: str
    state: str = "stands"

    @property
    def by(self) -> int | None:
        return self.body[1]


class Attendance(RuleBasedStateMachine):
    """Four members of a city's two branches and one from elsewhere; two sittings that are both open."""

    def __init__(self) -> None:
        super().__init__()
        database.session.rollback()
        self.rows: dict[tuple[int, str], Row] = {}
        self.leaves: dict[int, str] = {}
        self.efforts: dict[tuple[int, str], bool] = {}
        self.roster: dict[int, str] | None = None
        self.refused = 0
        # By sitting: the screen before it, whether that is closed, and its headcounts.
        self.screens: dict[int, int] = {}
        self.closed: set[int] = set()
        self.heads: dict[int, list[int]] = {}

    @initialize(replay=st.booleans())
    def meet(self, replay: bool) -> None:
        city = make_city()
        fourth = Member(name="李四", organisation_id=city.west.id)
        database.session.add(fourth)
        database.session.commit()
        self.city = city
        self.members = [city.ana, city.ben, city.cleo, fourth, city.dan]
        self.homes = {member.id: member.organisation_id for member in self.members}
        day = make_day(city)
        begin, end = NOW - HOUR, NOW + HOUR
        times = {"starts_at": begin, "ends_at": end, "checkin_opens_at": begin, "checkin_closes_at": end}
        database.session.add(Sitting(activity_id=day.id, **times))
        database.session.commit()
        self.day, self.replay = day.id, replay
        database.session.add(Terms(activity_id=day.id, replay=replay))
        sittings = select(Sitting.id).where(Sitting.activity_id == day.id).order_by(Sitting.id)
        self.sittings = list(database.session.scalars(sittings))
        self.secretary = make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]
        for sitting, branch in zip(self.sittings, (city.east, city.west), strict=True):
            told = Screen(
                reference=f"screen-{sitting}", organisation=branch.id, place="村活动室", screen="tv", sitting=sitting
            )
            self.screens[sitting] = sessions.begin(self.secretary, day.id, told, NOW)[0].id

    @rule(items=ITEMS)
    def send(self, items: list[tuple[int, int, int, By]]) -> None:
        """A batch, by phones, secretaries and before screens, in any order and with repeats."""
        self.sent(items)

    def sent(self, items: list[tuple[int, int, int, By]]) -> None:
        attempts = [self.attempt(*item) for item in items]
        answers = [outcome(answer) for answer in check_in(self.day, attempts, NOW)]
        # The rule writes in the order of members and references; answers come in the order that was asked for.
        first = {one.key: one for one in reversed(attempts)}
        once = {key: self.expect(first[key]) for key in sorted(first)}
        seen: set[tuple[int, str]] = set()
        for one, answer in zip(attempts, answers, strict=True):
            expected = once[one.key]
            if one.fingerprint != first[one.key].fingerprint:
                expected = "reference_reused"
            elif one.key in seen and expected == "accepted":
                expected = "repeat"
            seen.add(one.key)
            assert answer == expected

    @rule(who=WHO, name=NAMES, by=st.sampled_from([None, 7, 8]))
    def undo(self, who: int, name: int, by: int | None) -> None:
        """By whoever: it is his own word, or it is not there for him."""
        key = (self.members[who].id, f"reference-{name}")
        row = self.rows.get(key)
        mine = row is not None and row.by == by
        assert self.done(annulling.undo, self.day, *key, NOW, by=by) is mine
        if row is not None and mine and row.state == "stands":
            row.state = "undone"

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), by=st.sampled_from([7, 8]))
    def annul(self, data: st.DataObject, by: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.rows)))
        number = database.session.scalar(
            select(CheckIn.id).where(CheckIn.member_id == key[0], CheckIn.reference == key[1])
        )
        assert number
        annulling.annul(self.day, number, visible=true(), by=by, reason="误签", now=NOW)
        if self.rows[key].state == "stands":
            # Who takes his own word back takes nobody out.
            self.rows[key].state = "undone" if self.rows[key].by == by else "annulled"

    @precondition(lambda self: any(row.state != "stands" for row in self.rows.values()))
    @rule(data=st.data(), by=BY)
    def try_again(self, data: st.DataObject, by: By) -> None:
        """Under another reference, in the sitting that a check-in was taken back from."""
        gone = sorted(key for key, row in self.rows.items() if row.state != "stands")
        key = data.draw(st.sampled_from(gone))
        who = next(n for n, member in enumerate(self.members) if member.id == key[0])
        self.sent([(who, 9, self.sittings.index(self.rows[key].body[0]), by)])

    @rule(where=WHERE)
    def close(self, where: int) -> None:
        """A screen takes nothing more from now on."""
        sitting = self.sittings[where]
        sessions.close(self.secretary, self.day, self.screens[sitting], NOW)
        self.closed.add(sitting)

    @precondition(lambda self: self.closed)
    @rule(who=WHO)
    def tick_after_closing(self, who: int) -> None:
        self.sent([(who, 8, self.sittings.index(min(self.closed)), "screen")])

    @rule(where=WHERE, people=st.integers(0, 3))
    def count_heads(self, where: int, people: int) -> None:
        sitting = self.sittings[where]
        sessions.count_heads(self.secretary, self.day, self.screens[sitting], people, NOW)
        counted = self.heads.setdefault(sitting, [])
        if counted[-1:] != [people]:
            counted.append(people)

    @rule(who=WHO)
    def ask_leave(self, who: int) -> None:
        member = self.members[who].id
        leaves.ask(self.day, member, reason="出差", by=None, now=NOW)
        if self.leaves.get(member) != "approved":
            self.leaves[member] = "asked"

    @precondition(lambda self: self.leaves)
    @rule(data=st.data(), approved=st.booleans())
    def decide(self, data: st.DataObject, approved: bool) -> None:
        member = data.draw(st.sampled_from(sorted(self.leaves)))
        number = database.session.scalar(select(func.max(Leave.id)).where(Leave.member_id == member))
        state, now = ("approved" if approved else "declined"), self.leaves[member]
        did = self.done(leaves.decide, self.day, number, approved=approved, visible=true(), by=7, now=NOW)
        assert did is (now in ("asked", state))
        if now == "asked":
            self.leaves[member] = state

    @rule(who=WHO)
    def withdraw(self, who: int) -> None:
        member = self.members[who].id
        leaves.withdraw(self.day, member)
        if self.leaves.get(member) in ("asked", "approved"):
            self.leaves[member] = "withdrawn"

    @rule(who=WHO, name=st.sampled_from(["make-up-1", "make-up-2"]))
    def make_up(self, who: int, name: str) -> None:
        member = self.members[who].id
        effort = Effort(reference=name, kind="replay", reason="回看", happened_at=NOW)
        expected = self.efforts.get((member, name))
        if expected is None:
            expected = self.roster is not None and member in self.roster and not self.completed(member)
        assert self.done(make_ups.make_up, self.day, member, effort, by=7, now=NOW) is expected
        if expected:
            self.efforts[member, name] = True

    @precondition(lambda self: self.efforts)
    @rule(data=st.data())
    def annul_make_up(self, data: st.DataObject) -> None:
        member, name = data.draw(st.sampled_from(sorted(self.efforts)))
        question = select(MakeUp.id).where(MakeUp.member_id == member, MakeUp.reference == name)
        number = database.session.scalar(question)
        assert number
        make_ups.annul(self.day, number, visible=true(), by=7, reason="误记", now=NOW)
        self.efforts[member, name] = False

    @rule(who=WHO, east=st.booleans(), early=st.booleans())
    def move(self, who: int, east: bool, early: bool) -> None:
        """A member's home changes: before the start that counts, and so do all moves before; afterwards it does not."""
        member = self.members[who]
        member.organisation_id = (self.city.east if east else self.city.away).id
        database.session.commit()
        if early:
            long_ago()
            self.homes |= {one.id: one.organisation_id for one in self.members}

    @rule()
    def freeze(self) -> None:
        homes = {member: database.session.get_one(Organisation, home).path for member, home in self.homes.items()}
        assert roster.freeze(self.day, NOW) is (self.roster is None)
        if self.roster is None:
            inside = self.city.city.path + "."
            self.roster = {member: path for member, path in homes.items() if path.startswith(inside)}

    def attempt(self, who: int, name: int, sitting: int, by: By) -> Attempt:
        """The home is that of the token, as of now."""
        member, where = self.members[who], self.sittings[sitting]
        path = database.session.get_one(Organisation, member.organisation_id).path
        more: dict[str, Any] = {} if by is None else {"method": "group", "entered_by": by}
        if by == "screen":
            more = {"method": "group", "entered_by": 7, "group_session": self.screens[where]}
        return attempt(member, f"reference-{name}", organisation=path, sitting=where, **more)

    def expect(self, one: Attempt) -> str:
        """What must become of an attempt, which is written down if it is accepted."""
        assert one.sitting
        body, known = (one.sitting, one.entered_by, one.group_session), self.rows.get(one.key)
        if known is not None:
            if known.body != body:
                return "reference_reused"
            return "repeat" if known.state == "stands" else "checkin_annulled"
        invited = one.organisation.startswith(self.city.city.path + ".")
        if one.member not in self.roster if self.roster is not None else not invited:
            return "not_on_roster" if invited else "not_invited"
        if one.group_session and one.sitting in self.closed:
            return "group_session_closed"
        here = [row for (member, _), row in self.rows.items() if member == one.member and row.body[0] == one.sitting]
        if any(row.state == "stands" for row in here):
            return "already_checked_in"
        if one.entered_by is None and any(row.state == "annulled" for row in here):
            return "checkin_annulled"
        self.rows[one.key] = Row(body, one.organisation)
        return "accepted"

    def done(self, rule: Any, *values: Any, **more: Any) -> bool:
        """Whether `rule` did it; else it refused."""
        try:
            rule(*values, **more)
        except ServiceError:
            return False
        return True

    def there(self) -> set[int]:
        return {member for (member, _), row in self.rows.items() if row.state == "stands"}

    def completed(self, who: int) -> bool:
        """By having been there, or from afar if no replay is asked for, or by a make-up."""
        hands = [row.by for (member, _), row in self.rows.items() if member == who and row.state == "stands"]
        made_up = any(stands for (member, _), stands in self.efforts.items() if member == who)
        return any(hands) or (bool(hands) and not self.replay) or made_up

    def sums(self, path: str) -> Sums:
        """The oracle's own count of who is at home at or below a path."""
        inside = {one for one, home in (self.roster or {}).items() if f"{home}.".startswith(f"{path}.")}
        there = inside & self.there()
        away = inside - there
        made_up = {one for (one, _), stands in self.efforts.items() if stands}
        on_leave = {one for one in away if self.leaves.get(one) == "approved"}
        return Sums(
            expected=len(inside),
            present=len(there),
            on_leave=len(on_leave),
            made_up=len(away & made_up),
            completed=sum(map(self.completed, inside)),
        )

    def guests(self, path: str) -> set[int]:
        """Who came from at or below a path before the freeze, and is not on the roster."""
        stand = [(member, row) for (member, _), row in self.rows.items() if row.state == "stands"]
        return {one for one, row in stand if one not in (self.roster or {}) and f"{row.home}.".startswith(f"{path}.")}

    def methods(self, path: str) -> dict[str, int]:
        """Attendances at or below a path, at home as the roster says, else as of then; of methods with a row there."""
        found: dict[str, int] = {}
        for (member, _), row in self.rows.items():
            if f"{(self.roster or {}).get(member, row.home)}.".startswith(f"{path}."):
                method = "self" if row.by is None else "group"
                found[method] = found.get(method, 0) + (row.state == "stands")
        return found

    @invariant()
    def what_stands_is_what_was_written_down_and_nothing_disappears(self) -> None:
        question = select(CheckIn).where(CheckIn.activity_id == self.day).execution_options(populate_existing=True)
        rows = database.session.scalars(question).all()
        assert {(row.member_id, row.reference): row.annulled_at is None for row in rows} == {
            key: row.state == "stands" for key, row in self.rows.items()
        }
        standing = [(row.sitting_id, row.member_id) for row in rows if row.annulled_at is None]
        assert len(standing) == len(set(standing))
        refused = database.session.scalar(select(func.count(Refusal.id)).where(Refusal.activity_id == self.day)) or 0
        assert refused >= self.refused
        self.refused = refused
        assert database.session.scalar(select(func.count(MakeUp.id)).where(MakeUp.activity_id == self.day)) == len(
            self.efforts
        )

    @invariant()
    def every_node_adds_up(self) -> None:
        if self.roster is None:
            return
        nodes = (self.city.province, self.city.city, self.city.east, self.city.west, self.city.away)
        for node in nodes:
            found = figures.rostered(self.day, node.path, Asked(replay=self.replay))
            assert found.all == self.sums(node.path)
            assert found.guests == len(self.guests(node.path))
            assert {name: one["attendances"] for name, one in found.methods.items()} == self.methods(node.path)
            assert found.all == sum(found.children.values(), Sums())
            assert found.all.absent >= 0
            assert found.credits.total() == found.all.completed
            missing = figures.missing(self.day, node.path)
            assert len(missing) == found.all.absent

    @invariant()
    def screens_add_up_apart_from_all_else(self) -> None:
        """Names by where the screen stands, whoever the member is; heads as they were counted last."""
        shown = {}
        for branch, sitting in zip((self.city.east, self.city.west), self.sittings, strict=True):
            names = [
                row for row in self.rows.values() if row.body[2] == self.screens[sitting] and row.state == "stands"
            ]
            heads = self.heads.get(sitting, [])
            shown[branch.id] = Screens(
                sessions=1, counted=bool(heads), headcount=heads[-1] if heads else 0, ticked=len(names)
            )
            assert screens.at(self.day, branch.path) == (shown[branch.id], {0: shown[branch.id]})
        for node in (self.city.province, self.city.city):
            found, children = screens.at(self.day, node.path)
            assert found == sum(shown.values(), Screens()) == sum(children.values(), Screens())
        assert children == shown
        mine = Headcount.group_session_id.in_(self.screens.values())
        kept = database.session.scalar(select(func.count(Headcount.id)).where(mine))
        assert kept == sum(map(len, self.heads.values()))


def test_the_laws_of_attendance(db: Session) -> None:
    limits = settings(max_examples=10, stateful_step_count=25, deadline=None, derandomize=True, phases=[Phase.generate])
    run_state_machine_as_test(Attendance, settings=limits)
