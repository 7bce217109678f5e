"""Check-ins by home, place and method: whatever happens in whatever order, what PostgreSQL has is what is told."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy
from apiflask import APIFlask
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from service.activity.models import Activity
from service.checkin import annulling, rules
from service.checkin.models import CheckIn
from service.checkin.rules import check_in
from service.checkin.turnout import Teller
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.live.feed import shown, whose
from service.live.nodes import view_of
from service.live.turnout import FRESH, RECOUNT, Sums, Turnouts
from service.org.models import Member
from tests.checkin.people import NOW, City, attempt, make_city
from tests.concurrency import really_committed
from tests.factories import make_activity, make_organiser

LATE = """
    INSERT INTO check_ins
        (id, activity_id, sitting_id, member_id, reference, happened_at, organisation_path, place_path)
    OVERRIDING SYSTEM VALUE VALUES (:id, :activity, :sitting, :member, 'reference', :now, '1', '')
"""
PLACES = ("54.5401.540102", "54.5402", "51", "")
HOW: tuple[dict[str, Any], ...] = (
    {},
    {"method": "group", "entered_by": 7},
    {"method": "proxy", "entered_by": 7, "reason": "无手机"},
)
ACTS = st.lists(
    st.tuples(st.sampled_from(["come", "undo", "annul", "confirm"]), st.integers(0, 3), st.integers(0, 3)), max_size=9
)


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    """What counts here is what is committed when."""
    with really_committed():
        yield


@pytest.fixture
def city(app: APIFlask) -> City:
    return make_city()


@pytest.fixture
def day(city: City) -> Activity:
    return make_activity(lead=city.city, now=NOW)


def opened(day: Activity, *own: int) -> Teller:
    """One whose first readings have been: it knows where the transactions of then ended."""
    teller = Teller(day.sittings[0].streams[0].id, own)
    assert [teller.read(), teller.read()] == [None, None]
    return teller


def read(teller: Teller) -> Sums:
    sums = teller.read()
    assert sums is not None
    for part in sums.parts:
        for node in [node for node, people in part.items() if not people]:
            del part[node]
    return sums


def counted(own: int) -> Sums:
    """The same, counted by hand."""
    sums = Sums()
    for row in db.session.query(CheckIn):
        if row.annulled_at is None and (row.method != "proxy" or row.confirmed_at):
            homes = [int(node) for node in row.organisation_path.split(".")]
            places = row.place_path.split(".") if row.place_path else []
            sums.homes.update(homes)
            sums.places.update(places)
            sums.methods[row.method] += 1
            if own not in homes:
                sums.others_places.update(places)
                sums.others_methods[row.method] += 1
    db.session.rollback()
    return sums


def act(day: Activity, member: Member, what: str, how: int) -> None:
    rows = db.session.query(CheckIn).filter_by(member_id=member.id).order_by(CheckIn.id.desc()).all()
    anybody = sqlalchemy.true()
    try:
        if what == "come":
            fields = HOW[how % 3] | {"place": PLACES[how], "reference": f"reference-{len(rows)}"}
            check_in(day.id, [attempt(member, **fields)], NOW)
        elif rows and what == "undo":
            annulling.undo(day.id, member.id, rows[0].reference, NOW)
        elif rows and what == "annul":
            annulling.annul(day.id, rows[0].id, visible=anybody, by=8, reason="误签", now=NOW)
        elif rows:
            annulling.confirm(day.id, rows[0].id, visible=anybody, by=8, now=NOW)
    except ServiceError:
        pass


def test_whatever_is_done_the_reading_is_what_postgresql_has(city: City, day: Activity) -> None:
    teller = opened(day, city.east.id)

    @settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(ACTS, st.booleans())
    def law(acts: list[tuple[str, int, int]], anew: bool) -> None:
        for what, who, how in acts:
            act(day, city.everybody[who], what, how)
            assert read(teller) == counted(city.east.id)
        if anew:
            assert teller.recount() == 0
            assert read(teller) == counted(city.east.id)

    law()
    assert counted(city.east.id).total


def test_who_commits_late_with_a_lower_number_is_not_left_out(city: City, day: Activity) -> None:
    teller = opened(day)
    assert read(teller).total == 0
    late = db.engine.connect()
    # Its number is given out now, and committed after others have been counted.
    late.execute(db.text("SELECT pg_current_xact_id()"))
    number = late.scalar(db.text("SELECT nextval('check_ins_id_seq')"))
    check_in(day.id, [attempt(city.ana)], NOW)
    for _ in range(3):
        assert read(teller).total == 1
    values = {"id": number, "activity": day.id, "sitting": day.sittings[0].id, "member": city.ben.id, "now": NOW}
    late.execute(db.text(LATE), values)
    late.commit()
    late.close()
    for _ in range(3):
        assert read(teller).total == 2
    assert teller.recount() == 0


def test_who_has_a_number_and_no_transaction_yet_is_not_left_out(city: City, day: Activity) -> None:
    """As between the two steps of one INSERT, which a process may sleep in."""
    teller = opened(day)
    check_in(day.id, [attempt(city.cleo)], NOW)
    with db.engine.connect() as late:
        number = late.scalar(db.text("SELECT nextval('check_ins_id_seq')"))
        assert late.scalar(db.text("SELECT pg_current_xact_id_if_assigned() IS NULL"))
        check_in(day.id, [attempt(city.ana)], NOW)
        assert read(teller).total == 2
        late.execute(db.text("SELECT pg_current_xact_id()"))
        for _ in range(4):
            assert read(teller).total == 2
        values = {"id": number, "activity": day.id, "sitting": day.sittings[0].id, "member": city.ben.id, "now": NOW}
        late.execute(db.text(LATE), values)
        late.commit()
    for _ in range(4):
        assert read(teller).total == 3
    assert teller.recount() == 0


def test_what_was_counted_wrong_is_corrected_and_counted(city: City, day: Activity) -> None:
    check_in(day.id, [attempt(one) for one in city.everybody], NOW)
    key = (day.sittings[0].streams[0].id, frozenset[int]())
    corrected: list[int] = []
    turnouts = Turnouts(corrected.append)
    for _ in range(3):
        turnouts.read([key], Teller, NOW)
    found = turnouts.of(key)
    assert found
    assert found.sums
    found.ledger._kept.methods["self"] -= 1  # type: ignore[attr-defined]
    turnouts.read([key], Teller, NOW + RECOUNT)
    assert found.sums.methods["self"] == 3
    turnouts.read([key], Teller, NOW + RECOUNT + timedelta(seconds=1))
    assert (found.sums.methods["self"], corrected) == (4, [1])


def test_who_looks_for_the_first_time_waits_for_who_writes(city: City, day: Activity) -> None:
    with db.engine.connect() as writer:
        writer.execute(db.text("SELECT pg_current_xact_id()"))
        teller = opened(day)
        assert teller.read() is None
        writer.rollback()
    check_in(day.id, [attempt(city.ana)], NOW)
    assert read(teller).total == 1


def test_neither_valkey_nor_who_died_before_telling_it_changes_what_is_told(
    city: City, day: Activity, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process leaves behind that is killed between its commit and its flush, and an emptied Valkey."""
    monkeypatch.setattr(rules, "tell", lambda *_: None)
    check_in(day.id, [attempt(one) for one in city.everybody], NOW)
    organiser, _ = make_organiser(organisation=city.city)
    view = view_of(organiser, day.sittings[0].streams[0].id, today=day_of(NOW), organisation=city.city.id)
    turnouts = Turnouts()
    assert shown(view, None, None)["check_ins"] == {
        "as_of": None, "basis": "degraded", "reason": "rebuilding", "total": None, "methods": {}
    }  # fmt: skip
    for _ in range(3):
        turnouts.read([whose(view)], Teller, NOW)
        valkey.flushall()
    told = shown(view, None, turnouts.of(whose(view)))
    assert told["organisation"]["checked_in"] == 3
    assert {one["id"]: one["checked_in"] for one in told["organisations"]} == {city.east.id: 2, city.west.id: 1}
    # One is of another part of the tree: how is not told.
    assert (told["check_ins"]["total"], told["check_ins"]["methods"]) == (4, {"self": None})


def test_without_postgresql_the_last_figures_are_told_as_degraded(city: City, day: Activity) -> None:
    key = (day.sittings[0].streams[0].id, frozenset[int]())
    turnouts = Turnouts()
    for _ in range(3):
        turnouts.read([key], Teller, NOW)
    found = turnouts.of(key)
    assert found
    assert (found.sums, found.reason(NOW + FRESH)) == (Sums(), None)

    def away() -> Sums:
        raise OperationalError("", None, Exception())

    found.ledger.read = away  # type: ignore[method-assign]
    turnouts.read([key], Teller, NOW + FRESH * 2)
    assert (found.sums, found.reason(NOW + FRESH * 2)) == (Sums(), "database")
    turnouts.read([], Teller, NOW)
    assert turnouts.of(key) is None


def test_a_wall_is_opened_once_and_also_when_postgresql_comes_back(city: City, day: Activity) -> None:
    key, opened_for = (day.sittings[0].streams[0].id, frozenset[int]()), []

    def opening(stream: int, own: Collection[int]) -> Teller:
        opened_for.append(stream)
        if len(opened_for) == 1:
            raise OperationalError("", None, Exception())
        return Teller(stream, own)

    turnouts = Turnouts()
    turnouts.read([key], opening, NOW)
    assert turnouts.of(key) is None
    for _ in range(3):
        turnouts.read([key], opening, NOW)
    found = turnouts.of(key)
    assert found
    assert found.sums == Sums()
    assert len(opened_for) == 2
