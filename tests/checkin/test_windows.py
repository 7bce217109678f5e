"""When an attempt counts, by method: windows, the late margin, and what arrives after them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.models import CheckIn, MethodWindow, Terms
from tests.checkin.people import NOW, City, come, make_day
from tests.factories import HOUR

MINUTE = timedelta(minutes=1)
BY_SECRETARY: dict[str, Any] = {"method": "group", "entered_by": 7}


@pytest.fixture
def day(city: City, db: Session) -> Activity:
    """Open until NOW + 60 min, ten minutes of lateness, half an hour offline, a day for organisers."""
    day = make_day(city)
    db.add(Terms(activity_id=day.id, late_minutes=10, offline_minutes=30, assisted_hours=24))
    db.commit()
    return day


def row(db: Session) -> tuple[timedelta, bool]:
    """When the one check-in happened, seen from NOW, and whether that was late."""
    [found] = db.query(CheckIn).all()
    return found.happened_at - NOW, found.late


@pytest.mark.parametrize(("minutes", "late"), [(59, False), (60, True), (69, True)])
def test_who_comes_within_the_margin_is_late(db: Session, city: City, day: Activity, minutes: int, late: bool) -> None:
    assert come(day, city.ana, now=NOW + minutes * MINUTE) == ["accepted"]
    assert row(db) == (minutes * MINUTE, late)


def test_after_the_margin_it_has_closed(city: City, day: Activity) -> None:
    assert come(day, city.ana, now=NOW + 70 * MINUTE) == ["checkin_closed"]


@pytest.mark.parametrize(
    ("told", "now", "expected"),
    [(5, 99, "accepted"), (5, 100, "checkin_closed"), (65, 99, "accepted"), (70, 99, "checkin_closed"),
     (-61, 99, "checkin_closed"), (100, 99, "checkin_closed")],
)  # fmt: skip
def test_what_happened_in_time_may_arrive_a_little_later(
    db: Session, city: City, day: Activity, told: int, now: int, expected: str
) -> None:
    assert come(day, city.ana, happened_at=NOW + told * MINUTE, now=NOW + now * MINUTE) == [expected]
    if expected == "accepted":
        assert row(db) == (told * MINUTE, told >= 60)


def test_what_happened_in_the_first_sitting_counts_there_even_while_the_second_is_open(
    db: Session, city: City, day: Activity
) -> None:
    from service.activity.models import Sitting

    begin, end = NOW + 65 * MINUTE, NOW + 2 * HOUR
    db.add(Sitting(activity_id=day.id, starts_at=begin, ends_at=end, checkin_opens_at=begin, checkin_closes_at=end))
    db.commit()
    assert come(day, city.ana, happened_at=NOW, now=NOW + 80 * MINUTE) == ["accepted"]
    [first] = db.query(CheckIn).all()
    assert first.sitting_id == day.sittings[0].id


def test_a_method_may_have_times_of_its_own(db: Session, city: City, day: Activity) -> None:
    times = {"opens_at": NOW + 30 * MINUTE, "closes_at": NOW + 40 * MINUTE}
    db.add(MethodWindow(sitting_id=day.sittings[0].id, method="self", **times))
    db.commit()
    assert come(day, city.ana) == ["checkin_not_open"]
    assert come(day, city.ana, now=NOW + 35 * MINUTE) == ["accepted"]
    assert come(day, city.ben, now=NOW + 51 * MINUTE) == ["checkin_closed"]
    assert come(day, city.ben, **BY_SECRETARY) == ["accepted"]


def test_an_organiser_may_enter_it_for_longer_and_says_when_it_was(db: Session, city: City, day: Activity) -> None:
    assert come(day, city.ana, now=NOW + 25 * HOUR, **BY_SECRETARY) == ["accepted"]
    assert row(db) == (60 * MINUTE, False)
    told = {"happened_at": NOW + 3 * MINUTE, **BY_SECRETARY}
    assert come(day, city.ben, now=NOW + 25 * HOUR, **told) == ["accepted"]
    assert db.query(CheckIn).filter_by(member_id=city.ben.id).one().happened_at == NOW + 3 * MINUTE
    assert come(day, city.cleo, now=NOW + 26 * HOUR, **BY_SECRETARY) == ["checkin_closed"]
    assert come(day, city.cleo, reference="again-again", now=NOW - 2 * HOUR, **BY_SECRETARY) == ["checkin_not_open"]
