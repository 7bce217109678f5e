"""What is refused, why, and that it is kept: with who entered it, once for each reference and reason."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.models import CheckIn, Refusal, Terms
from service.checkin.rules import check_in
from tests.checkin.people import NOW, City, attempt, come, make_day, outcome
from tests.factories import HOUR, make_member


@pytest.fixture
def day(city: City) -> Activity:
    return make_day(city)


def kept(db: Session) -> list[tuple[int, str]]:
    return [(row.member_id, row.code) for row in db.query(Refusal).order_by(Refusal.id)]


def test_the_first_refusal_of_a_reference_is_kept_and_asking_again_adds_nothing(
    db: Session, city: City, day: Activity
) -> None:
    early = [come(day, city.ana, now=NOW - 2 * HOUR) for _ in range(3)]
    assert early == [["checkin_not_open"]] * 3
    assert come(day, city.ana) == ["accepted"]
    assert come(day, city.ana, reference="another-one") == ["already_checked_in"]
    assert kept(db) == [(city.ana.id, "checkin_not_open"), (city.ana.id, "already_checked_in")]


def test_one_bad_item_leaves_the_others_written_and_is_kept(db: Session, city: City, day: Activity) -> None:
    stranger = make_member()
    assert come(day, city.ana, stranger, city.ben) == ["accepted", "not_invited", "accepted"]
    assert kept(db) == [(stranger.id, "not_invited")]
    assert db.query(CheckIn).count() == 2


@pytest.mark.parametrize(
    "other", [{"sitting": 1}, {"happened_at": NOW - HOUR / 2}, {"method": "onsite_qr"}, {"reason": "x"}]
)
def test_the_same_reference_with_another_body_is_refused(
    db: Session, city: City, day: Activity, other: dict[str, object]
) -> None:
    mine = attempt(city.ana)
    another = replace(mine, **other)  # type: ignore[arg-type]
    [first] = check_in(day.id, [mine], NOW)
    assert [outcome(one) for one in check_in(day.id, [another, mine], NOW)] == ["reference_reused"] * 2
    assert [outcome(one) for one in check_in(day.id, [mine], NOW)] == ["repeat"]
    assert check_in(day.id, [mine], NOW)[0].record == first.record
    assert kept(db)[0] == (city.ana.id, "reference_reused")


def test_two_bodies_under_one_reference_in_one_call_are_not_both_true(db: Session, city: City, day: Activity) -> None:
    mine = attempt(city.ana)
    answers = check_in(day.id, [mine, replace(mine, happened_at=NOW), mine], NOW)
    assert [outcome(one) for one in answers] == ["accepted", "reference_reused", "repeat"]


def test_what_only_an_organiser_may_enter_no_member_may(db: Session, city: City, day: Activity) -> None:
    assert come(day, city.ana, method="group") == ["forbidden"]
    assert come(day, city.ana, reference="reference-2", entered_by=7) == ["forbidden"]
    assert db.query(CheckIn).count() == 0


def test_a_proxy_needs_a_reason_and_one_person_enters_few(db: Session, city: City, day: Activity) -> None:
    db.add(Terms(activity_id=day.id, proxy_cap=2))
    db.commit()
    proxy: dict[str, Any] = {"method": "proxy", "entered_by": 7}
    assert come(day, city.ana, **proxy) == ["reason_missing"]
    assert come(day, city.ana, city.ben, city.cleo, reason="无手机", **proxy) == ["accepted", "accepted", "proxy_cap"]
    assert come(day, city.cleo, reason="无手机", **proxy) == ["proxy_cap"]
    assert come(day, city.cleo, reason="无手机", **proxy | {"entered_by": 8}) == ["accepted"]
