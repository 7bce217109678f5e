"""Screens and lists at once, on the real PostgreSQL."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from apiflask import APIFlask

from service.activity.models import Activity
from service.checkin.group import sessions
from service.checkin.group.models import GroupSession, Headcount
from service.checkin.group.sessions import Screen
from service.checkin.group.ticks import Tick, tick
from service.checkin.models import CheckIn
from service.checkin.paper import importing
from service.checkin.paper.importing import Wish
from service.checkin.rules import check_in
from service.extensions import db
from service.org.organisers import Organiser
from tests.checkin.people import NOW, City, attempt, make_city, make_day
from tests.concurrency import at_once, really_committed
from tests.factories import make_member, make_organiser

AT_ONCE = 6


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


@pytest.fixture
def city() -> City:
    return make_city()


@pytest.fixture
def day(city: City) -> Activity:
    return make_day(city)


@pytest.fixture
def secretary(city: City) -> Organiser:
    return make_organiser(organisation=city.city, role="branch_secretary", now=NOW)[0]


def screen(city: City) -> Screen:
    return Screen(reference="screen-1", organisation=city.east.id, place="村活动室", screen="tv")


def test_the_same_opening_at_once_is_one_session(
    app: APIFlask, city: City, day: Activity, secretary: Organiser
) -> None:
    number, told = day.id, screen(city)

    def begin() -> tuple[int, bool]:
        session, repeat = sessions.begin(secretary, number, told, NOW)
        return session.id, repeat

    answers = at_once(app, [begin] * AT_ONCE)
    made = db.session.query(GroupSession).one().id
    assert sorted(map(str, answers)) == sorted(map(str, [(made, False), *[(made, True)] * (AT_ONCE - 1)]))


def test_the_same_headcount_at_once_is_kept_once(
    app: APIFlask, city: City, day: Activity, secretary: Organiser
) -> None:
    number, session = day.id, sessions.begin(secretary, day.id, screen(city), NOW)[0].id
    work = [partial(sessions.count_heads, secretary, number, session, 40, NOW)] * AT_ONCE
    assert [one for one in at_once(app, work) if isinstance(one, Exception)] == []
    assert db.session.query(Headcount).count() == 1


def test_phones_a_screen_and_a_whole_list_at_once_leave_one_for_each(
    app: APIFlask, city: City, day: Activity, secretary: Organiser, tmp_path: Path
) -> None:
    """Whoever comes second is told that the member is there; nobody waits for ever, and nothing is written twice."""
    people = [make_member(organisation=city.east) for _ in range(60)]
    number, session = day.id, sessions.begin(secretary, day.id, screen(city), NOW)[0].id
    file = tmp_path / "list.csv"
    file.write_text("\n".join(["党员编号,姓名", *(f"{one.id},{one.name}" for one in reversed(people))]))
    attempts = [attempt(one) for one in people]
    ticks = [Tick(member=one.id, reference="tick-of-one") for one in people]
    wish = Wish(whole=True)
    work = [
        *(partial(check_in, number, attempts[turn::2], NOW) for turn in range(2)),
        partial(tick, secretary, number, session, ticks, NOW),
        partial(importing.enter, secretary, number, file, wish, NOW),
    ]
    answers = at_once(app, work)  # type: ignore[arg-type]
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert db.session.query(CheckIn).count() == len(people)
