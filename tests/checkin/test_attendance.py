"""Figures at every node, leave, exemptions, guests, make-ups; and what is missing now."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import false, true
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin import annulling
from service.checkin.attendance import figures, leaves, lists, make_ups, roster
from service.checkin.attendance.figures import Sums
from service.checkin.attendance.make_ups import Effort
from service.checkin.attendance.models import MakeUp
from service.checkin.models import CheckIn, Terms
from service.errors import ServiceError
from service.org.models import Member
from tests.checkin.people import DAY, NOW, City, attach, come, make_day
from tests.factories import HOUR, make_activity, make_member

PROXY: dict[str, Any] = {"method": "proxy", "reason": "无手机", "entered_by": 7}


@pytest.fixture
def day(city: City) -> Activity:
    """Frozen: Ana and Ben of the east, Cleo of the west, Dan from away who stays in the east."""
    attach(city.dan, city.east)
    day = make_day(city)
    roster.freeze(day.id, NOW)
    return day


def of(day: Activity, path: str) -> Sums:
    return figures.rostered(day.id, path).all


def missing(day: Activity, path: str) -> list[int]:
    return sorted(one.member for one in figures.missing(day.id, path))


def test_everybody_counts_once_at_home_and_who_stays_is_shown_apart(city: City, day: Activity) -> None:
    assert come(day, city.ana, city.dan) == ["accepted"] * 2
    found = figures.rostered(day.id, city.city.path)
    assert found.all == Sums(expected=3, present=1, completed=1)
    east = Sums(expected=2, present=1, completed=1)
    assert found.children == {city.east.id: east, city.west.id: Sums(expected=1)}
    assert found.staying == Sums(expected=1, present=1, completed=1)
    assert found.all == sum(found.children.values(), Sums())
    assert figures.rostered(day.id, city.away.path).all == found.staying
    assert figures.rostered(day.id, city.province.path).all == found.all
    assert figures.rostered(day.id, city.west.path).staying == Sums()


def test_leave_counts_once_approved_and_not_for_who_came_all_the_same(city: City, day: Activity) -> None:
    asked = [leaves.ask(day.id, one.id, reason="出差", by=None, now=NOW) for one in (city.ana, city.ben, city.cleo)]
    for leave in asked[:2]:
        leaves.decide(day.id, leave.id, approved=True, visible=true(), by=7, now=NOW)
    come(day, city.ana)
    sums = of(day, city.city.path)
    assert sums == Sums(expected=3, present=1, on_leave=1, completed=1)
    assert (sums.absent, sums.rate("expected"), sums.rate("expected_less_leave")) == (1, 0.3333, 0.5)
    assert missing(day, city.city.path) == [city.cleo.id]


def test_nobody_expected_has_no_rate() -> None:
    assert Sums(exempt=1, exempt_present=1).rate("expected") is None
    assert Sums(expected=1, on_leave=1).rate("expected_less_leave") is None


def test_the_denominators_rule_is_stored_with_the_roster(db: Session, city: City) -> None:
    day = make_day(city)
    db.add(Terms(activity_id=day.id, denominator="expected_less_leave"))
    db.commit()
    roster.freeze(day.id, NOW)
    frozen = roster.of(day.id)
    assert frozen
    assert frozen.denominator == "expected_less_leave"


def test_the_exempt_are_not_expected_and_seen_if_they_come(db: Session, city: City) -> None:
    lists.exempt(city.ana.id, reason="高龄", starts_on=DAY, ends_on=None, by=7, now=NOW)
    lists.exempt(city.ben.id, reason="病", starts_on=DAY - timedelta(9), ends_on=DAY, by=7, now=NOW)
    day = make_day(city)
    roster.freeze(day.id, NOW)
    come(day, city.ana)
    assert of(day, city.city.path) == Sums(expected=2, exempt=1, exempt_present=1)
    assert missing(day, city.city.path) == [city.ben.id, city.cleo.id]


def test_guests_come_and_are_never_in_the_ratio(db: Session, city: City, day: Activity) -> None:
    guest = make_member(organisation=city.east)
    for _ in range(2):
        lists.add_guest(day.id, guest.id, by=7, now=NOW)
    assert come(day, guest, city.ana) == ["accepted"] * 2
    found = figures.rostered(day.id, city.east.path)
    assert (found.guests, found.all) == (1, Sums(expected=2, present=1, completed=1))


def test_an_open_activity_has_who_came_and_nothing_else(db: Session, city: City) -> None:
    day = make_activity(now=NOW)
    come(day, city.ana, city.dan)
    found = figures.open_to_all(day.id, city.city.path)
    assert (found.guests, found.all, found.children) == (1, Sums(), {})


def test_methods_are_reported_apart_and_a_proxy_stands_once_confirmed(db: Session, city: City, day: Activity) -> None:
    come(day, city.ana)
    come(day, city.ben, method="group", entered_by=7)
    come(day, city.cleo, **PROXY)
    proxy = db.query(CheckIn).filter_by(method="proxy").one().id
    assert figures.rostered(day.id, city.city.path).methods == {
        "group": {"attendances": 1, "late": 0, "unconfirmed": 0},
        "proxy": {"attendances": 0, "late": 0, "unconfirmed": 1},
        "self": {"attendances": 1, "late": 0, "unconfirmed": 0},
    }
    assert missing(day, city.city.path) == [city.cleo.id]
    with pytest.raises(ServiceError, match="second_person"):
        annulling.confirm(day.id, proxy, visible=true(), by=7, now=NOW)
    for _ in range(2):
        annulling.confirm(day.id, proxy, visible=true(), by=8, now=NOW)
    assert of(day, city.city.path) == Sums(expected=3, present=3, completed=3)


def test_a_proxy_that_nobody_confirmed_keeps_no_member_from_checking_in(db: Session, city: City, day: Activity) -> None:
    assert come(day, city.ana, **PROXY) == ["accepted"]
    proxy = db.query(CheckIn).filter_by(method="proxy").one().id
    assert come(day, city.ana, reference="by-himself") == ["accepted"]
    assert of(day, city.city.path).present == 1
    with pytest.raises(ServiceError, match="already_checked_in"):
        annulling.confirm(day.id, proxy, visible=true(), by=8, now=NOW)
    assert of(day, city.city.path).present == 1
    assert db.get_one(CheckIn, proxy).confirmed_at is None


def test_nobody_enters_a_proxy_for_who_is_there_or_a_second_one(db: Session, city: City, day: Activity) -> None:
    come(day, city.ana)
    assert come(day, city.ana, city.ben, **PROXY | {"reference": "proxy-1"}) == ["already_checked_in", "accepted"]
    again = PROXY | {"reference": "proxy-2", "entered_by": 8}
    assert come(day, city.ben, **again) == ["already_checked_in"]
    assert db.query(CheckIn).filter_by(method="proxy").count() == 1


def test_the_missing_come_in_pages(city: City, day: Activity) -> None:
    [first] = figures.missing(day.id, city.city.path, most=1)
    rest = figures.missing(day.id, city.city.path, after=(first.home_path, first.member))
    assert sorted([first.member, *(one.member for one in rest)]) == [city.ana.id, city.ben.id, city.cleo.id]


def test_a_leave_is_asked_once_decided_once_and_taken_back(db: Session, city: City, day: Activity) -> None:
    first = leaves.ask(day.id, city.ana.id, reason="出差", by=None, now=NOW)
    again = leaves.ask(day.id, city.ana.id, reason="生病", by=None, now=NOW)
    assert (again.id, again.reason) == (first.id, "生病")
    for _ in range(2):
        decided = leaves.decide(day.id, first.id, approved=True, visible=true(), by=7, now=NOW)
    assert (decided.state, decided.decided_by, decided.decided_at) == ("approved", 7, NOW)
    with pytest.raises(ServiceError, match="leave_decided"):
        leaves.decide(day.id, first.id, approved=False, visible=true(), by=8, now=NOW)
    with pytest.raises(ServiceError, match="leave_decided"):
        leaves.ask(day.id, city.ana.id, reason="另一原因", by=None, now=NOW)
    for _ in range(2):
        leaves.withdraw(day.id, city.ana.id)
    assert of(day, city.city.path).on_leave == 0


def effort(**fields: object) -> Effort:
    told = {"reference": "make-up-1", "kind": "replay", "reason": "回看", "happened_at": NOW} | fields
    return Effort(**told)  # type: ignore[arg-type]


def make_up(day: Activity, member: Member, what: Effort, after: timedelta = HOUR) -> tuple[int, bool]:
    row, repeat = make_ups.make_up(day.id, member.id, what, by=7, now=NOW + after)
    return row.id, repeat


def test_a_make_up_is_a_record_of_its_own_and_the_absence_stays(db: Session, city: City, day: Activity) -> None:
    first, repeat = make_up(day, city.ana, effort())
    assert not repeat
    assert make_up(day, city.ana, effort()) == (first, True)
    assert of(day, city.city.path) == Sums(expected=3, made_up=1, completed=1)
    assert city.ana.id in missing(day, city.city.path)
    for what, code in ((effort(reason="x"), "reference_reused"), (effort(reference="make-up-2"), "made_up")):
        with pytest.raises(ServiceError, match=code):
            make_up(day, city.ana, what)
    assert db.query(MakeUp).count() == 1


def test_who_was_there_has_nothing_to_make_up_for(city: City, day: Activity) -> None:
    come(day, city.ana)
    with pytest.raises(ServiceError, match="made_up"):
        make_up(day, city.ana, effort())


def test_a_make_up_elsewhere_names_a_check_in_that_is_the_members_and_stands(
    db: Session, city: City, day: Activity
) -> None:
    other = make_activity(now=NOW)
    come(other, city.ana, city.ben)
    anas, bens = (db.query(CheckIn).filter_by(member_id=one.id).one().id for one in (city.ana, city.ben))
    with pytest.raises(ServiceError, match="makeup_unfounded"):
        make_up(day, city.ana, effort(kind="elsewhere", check_in=bens))
    make_up(day, city.ana, effort(kind="elsewhere", check_in=anas))
    annulling.annul(other.id, bens, visible=true(), by=7, reason="误签", now=NOW)
    with pytest.raises(ServiceError, match="makeup_unfounded"):
        make_up(day, city.ben, effort(kind="elsewhere", check_in=bens))


def test_a_make_up_that_was_taken_back_stays_and_another_may_follow(db: Session, city: City, day: Activity) -> None:
    first, _ = make_up(day, city.ana, effort())
    for by, reason in ((8, "误记"), (9, "再次")):
        gone = make_ups.annul(day.id, first, visible=true(), by=by, reason=reason, now=NOW + HOUR)
        assert (gone.annulled_by, gone.annul_reason, gone.annulled_at) == (8, "误记", NOW + HOUR)
    assert of(day, city.city.path).made_up == 0
    with pytest.raises(ServiceError, match="makeup_annulled"):
        make_up(day, city.ana, effort())
    second, repeat = make_up(day, city.ana, effort(reference="make-up-2"))
    assert not repeat
    assert of(day, city.city.path).made_up == 1
    assert [row.id for row in make_ups.of_activity(day.id, true())] == [second, first]
    with pytest.raises(ServiceError, match="not_found"):
        make_ups.annul(day.id, second, visible=false(), by=8, reason="误记", now=NOW)


def test_a_make_up_cannot_lie_in_the_future(city: City, day: Activity) -> None:
    with pytest.raises(ServiceError, match="makeup_in_future"):
        make_up(day, city.ana, effort(happened_at=NOW + HOUR * 2))
    make_up(day, city.ana, effort(happened_at=NOW + HOUR))


def test_a_make_up_comes_before_the_deadline_from_who_was_expected(db: Session, city: City, day: Activity) -> None:
    end = day.sittings[0].ends_at - NOW
    with pytest.raises(ServiceError, match="makeup_closed"):
        make_up(day, city.ana, effort(), after=end + timedelta(days=30))
    make_up(day, city.ana, effort(), after=end + timedelta(days=30) - HOUR)
    with pytest.raises(ServiceError, match="not_on_roster"):
        make_up(day, make_member(), effort())
    with pytest.raises(ServiceError, match="roster_open"):
        make_up(make_day(city), city.ana, effort(reference="make-up-9"))
