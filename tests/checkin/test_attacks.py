"""Attacks on attendance: each refused, and where somebody was named, recorded."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.models import CheckIn, Refusal
from tests.checkin.people import City, make_city
from tests.factories import bearer, make_activity, make_organiser

COOKIE = "chunshui_organiser"


@pytest.fixture
def city(db: Session) -> City:
    return make_city()


@pytest.fixture
def day(city: City) -> Activity:
    return make_activity(lead=city.city, invited=[city.city])


def send(client: Any, day: Activity, body: Any, **more: Any) -> Any:
    return client.post(f"/api/v1/activities/{day.id}/check-ins", json=body, **more)


@pytest.mark.parametrize("named", [{"member": 1}, {"member_id": 1}, {"identity": "110101199001010017"}, {"phone": "1"}])
def test_no_check_in_names_another_member_or_an_identity_number(
    client: Any, db: Session, city: City, day: Activity, named: dict[str, Any]
) -> None:
    """A token says who comes, and nothing in the body does: no path signs in by number."""
    answer = send(client, day, {"reference": "reference-1"} | named, headers=bearer(member=city.ana))
    assert (answer.status_code, answer.json["code"]) == (422, "validation")
    assert db.query(CheckIn).count() == 0


@pytest.mark.parametrize("method", ["onsite_qr", "group", "proxy", "paper", "makeup"])
def test_a_member_claims_no_better_method_than_his_own(
    client: Any, db: Session, city: City, day: Activity, method: str
) -> None:
    answer = send(client, day, {"reference": "reference-1", "method": method}, headers=bearer(member=city.ana))
    assert answer.json["code"] == "validation"
    assert db.query(CheckIn).count() == 0


def test_another_members_reference_neither_checks_in_nor_undoes(
    client: Any, db: Session, city: City, day: Activity
) -> None:
    anas, bens = bearer(member=city.ana), bearer(member=city.ben)
    send(client, day, {"reference": "reference-1"}, headers=anas)
    stolen = send(client, day, {"reference": "reference-1"}, headers=bens)
    assert (stolen.status_code, db.query(CheckIn).count()) == (201, 2)
    assert (
        client.delete(
            f"/api/v1/activities/{day.id}/check-ins/reference-1", headers=bearer(member=city.cleo)
        ).status_code
        == 404
    )
    assert db.query(CheckIn).filter(CheckIn.annulled_at.is_not(None)).count() == 0


def test_members_cannot_be_told_apart_by_counting_through_their_numbers(
    client: Any, db: Session, city: City, day: Activity
) -> None:
    """One of another branch, one of no branch and one that does not exist have the same answer, and all are kept."""
    organiser, cookie = make_organiser(organisation=city.east, role="branch_secretary")
    client.set_cookie(COOKIE, cookie)
    numbers = [city.cleo.id, city.dan.id, 10**12]
    entries = [{"member": one, "reference": "reference-1", "method": "group"} for one in numbers]
    answer = client.post(f"/api/v1/activities/{day.id}/check-ins/batch", json={"check_ins": entries})
    problems = [one["problem"] for one in answer.json["answers"]]
    assert problems[0]["code"] == "member_unknown"
    assert problems == [problems[0]] * 3
    kept = db.query(Refusal.member_id, Refusal.code, Refusal.entered_by).order_by(Refusal.member_id).all()
    assert [tuple(one) for one in kept] == [(one, "member_unknown", organiser.id) for one in sorted(numbers)]
    for path, body in (("leaves", {}), ("guests", {}), ("make-ups", {"reference": "reference-1", "kind": "replay"})):
        told = {"reason": "x", "happened_at": "2026-01-01T00:00:00Z"} if path == "make-ups" else {"reason": "x"}
        extra = {} if path == "guests" else told
        found = [
            client.post(f"/api/v1/activities/{day.id}/{path}", json={"member": one, **body, **extra}).json
            for one in numbers
        ]
        assert found == [found[0]] * 3
        assert found[0]["code"] == "not_found"


def test_a_secretary_confirms_no_proxy_of_his_own(client: Any, db: Session, city: City, day: Activity) -> None:
    client.set_cookie(COOKIE, make_organiser(organisation=city.east, role="branch_secretary")[1])
    entry = {"member": city.ana.id, "reference": "reference-1", "method": "proxy", "reason": "无手机"}
    path = f"/api/v1/activities/{day.id}/check-ins"
    [one] = client.post(f"{path}/batch", json={"check_ins": [entry]}).json["answers"]
    answer = client.put(f"{path}/{one['check_in']['id']}/confirmation")
    assert (answer.status_code, answer.json["code"]) == (409, "second_person")
    assert db.query(CheckIn).one().confirmed_at is None


def test_no_door_takes_check_ins_without_a_login(app: Any, client: Any, day: Activity) -> None:
    doors = [rule for rule in app.url_map.iter_rules() if "check-in" in rule.rule or "attendance" in rule.rule]
    assert doors
    for door in doors:
        assert app.view_functions[door.endpoint].authentication != "public"
    assert send(client, day, {"reference": "reference-1"}).status_code == 401


@pytest.mark.parametrize("when", ["2099-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_is_not_believed(client: Any, db: Session, city: City, day: Activity, when: str) -> None:
    body = {"reference": "reference-1", "happened_at": when}
    assert send(client, day, body, headers=bearer(member=city.ana)).status_code == 201
    row = db.query(CheckIn).one()
    assert row.happened_at == row.received_at
