"""Attacks on attendance: each refused, and where somebody was named, recorded."""

import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.group import sessions
from service.checkin.group.sessions import Screen
from service.checkin.models import CheckIn, Refusal
from service.checkin.onsite import gates
from service.checkin.onsite.codes import show
from service.checkin.onsite.gates import Paired
from service.clock import now as read_clock
from service.org.people.identity import identify
from tests.checkin.people import City
from tests.checkin.test_onsite import FORGERIES
from tests.factories import bearer, make_organiser, make_token
from tests.org.people.conftest import identity_of, phone_of

COOKIE = "chunshui_organiser"


def paper(client: Any, day: Activity, *lines: str, heads: str = "党员编号,姓名") -> Any:
    file = io.BytesIO("\n".join([heads, *lines]).encode())
    return client.post(f"/api/v1/activities/{day.id}/paper-lists", data={"file": (file, "list.csv")})


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


def test_identity_numbers_sign_nobody_in_on_any_door(client: Any, db: Session, city: City, day: Activity) -> None:
    """Whoever has a register of people has no list of attendance: each is refused, and kept without the number."""
    for number, member in enumerate(city.everybody):
        identify(member.id, {"identity": identity_of(number), "phone": phone_of(number)})
    db.commit()
    organiser, cookie = make_organiser(organisation=city.city, role="branch_secretary")
    client.set_cookie(COOKIE, cookie)
    numbers = [int(identity_of(n)) for n in range(100) if identity_of(n).isdigit()] + [
        int(phone_of(0)),
        int(phone_of(1)),
    ]
    entries = [{"member": one, "reference": f"reference-{one % 999}", "method": "group"} for one in numbers]
    answer = client.post(f"/api/v1/activities/{day.id}/check-ins/batch", json={"check_ins": entries})
    assert {one["problem"]["code"] for one in answer.json["answers"]} == {"member_unknown"}
    assert {(row.member_id, row.code, row.entered_by) for row in db.query(Refusal)} == {
        (0, "member_unknown", organiser.id)
    }
    assert client.get(f"/api/v1/activities/{day.id}/check-in-refusals").json["refusals"][0]["member"] == 0
    listed = paper(client, day, *(f"{one},张三" for one in numbers)).json["rows"]
    assert {one["reason"] for one in listed} == {"member_invalid"}
    for column in ("身份证号", "手机号"):
        assert (
            paper(client, day, *(f"{one},张三" for one in numbers), heads=f"{column},姓名").json["code"]
            == "sheet_columns"
        )
    assert db.query(CheckIn).count() == 0
    dump = str(db.execute(select(Refusal.__table__)).all())
    assert not [one for one in numbers if str(one) in dump]


def test_no_door_of_attendance_knows_a_number_but_the_members(client: Any) -> None:
    """Nothing that is sent to a door of attendance is called after an identity number or a phone."""
    document = client.get("/openapi.json").json
    schemas, doors = document["components"]["schemas"], ("check-in", "ticks", "paper-lists", "attendance", "leaves")
    asked = [
        body["content"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if isinstance(operation, dict)
        and any(door in path for door in doors)
        and (body := operation.get("requestBody"))
    ]
    assert len(asked) > 8
    text = json.dumps([asked, [schemas[name] for name in ("EntryIn", "TickIn", "OwnIn") if name in schemas]])
    named = {text, *(json.dumps(schemas[name]) for name in re.findall(r"#/components/schemas/(\w+)", text))}
    assert not [one for one in named if re.search(r'"(identity|phone|id_number|identity_number)"', one)]


@pytest.fixture
def gate(city: City, day: Activity) -> Paired:
    """A wall on site, which shows codes."""
    lead, now = make_organiser(organisation=city.city)[0], read_clock()
    return gates.pair(gates.register(lead, day.id, "门口", now)[1], now)


def wall(gate: Paired, day: Activity, ago: timedelta = timedelta(0)) -> str:
    return show(gate.key, gate=gate.gate.id, sitting=day.sittings[0].id, now=read_clock() - ago)


def test_a_picture_of_a_code_that_a_friend_sends_is_worth_nothing(
    client: Any, db: Session, city: City, day: Activity, gate: Paired
) -> None:
    old = {
        "reference": "reference-1",
        "code": wall(gate, day, timedelta(minutes=1)),
        "happened_at": "2026-01-01T00:00:00Z",
    }
    answer = send(client, day, old, headers=bearer(member=city.ben))
    assert (answer.status_code, answer.json["code"]) == (409, "gate_code_expired")
    assert [(row.member_id, row.code) for row in db.query(Refusal)] == [(city.ben.id, "gate_code_expired")]


def test_a_code_is_replayed_by_nobody(client: Any, db: Session, city: City, day: Activity, gate: Paired) -> None:
    """Read once, taken back, and read again: it serves a member once."""
    body, headers = {"reference": "reference-1", "code": wall(gate, day)}, bearer(member=city.ana)
    assert send(client, day, body, headers=headers).status_code == 201
    client.delete(f"/api/v1/activities/{day.id}/check-ins/reference-1", headers=headers)
    answer = send(client, day, body | {"reference": "reference-2"}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (409, "gate_code_replayed")
    assert [(row.member_id, row.code) for row in db.query(Refusal)] == [(city.ana.id, "gate_code_replayed")]


@pytest.mark.parametrize("forgery", ["slot shifted", "mac cut", "mac gone", "mac zero", "another gate"])
def test_a_code_that_was_tampered_with_is_none(
    client: Any, db: Session, city: City, day: Activity, gate: Paired, forgery: str
) -> None:
    body = {"reference": "reference-1", "code": FORGERIES[forgery](wall(gate, day))}
    answer = send(client, day, body, headers=bearer(member=city.ana))
    assert (answer.status_code, answer.json["code"]) == (403, "gate_code_unknown")
    assert [(row.member_id, row.code) for row in db.query(Refusal)] == [(city.ana.id, "gate_code_unknown")]


def test_another_members_token_checks_in_its_owner_and_a_spliced_one_nobody(
    client: Any, db: Session, city: City, day: Activity
) -> None:
    anas, bens = make_token(member=city.ana), make_token(member=city.ben)
    spliced = f"{bens.partition('.')[0]}.{anas.partition('.')[2]}"
    answer = send(client, day, {"reference": "reference-1"}, headers={"Authorization": f"Bearer {spliced}"})
    assert (answer.status_code, answer.json["code"], db.query(CheckIn).count()) == (401, "token_invalid", 0)
    send(client, day, {"reference": "reference-1"}, headers={"Authorization": f"Bearer {anas}"})
    assert [row.member_id for row in db.query(CheckIn)] == [city.ana.id]


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
    numbers = [city.cleo.id, city.dan.id, 10**9]
    entries = [{"member": one, "reference": "reference-1", "method": "group"} for one in numbers]
    answer = client.post(f"/api/v1/activities/{day.id}/check-ins/batch", json={"check_ins": entries})
    problems = [one["problem"] for one in answer.json["answers"]]
    assert problems[0]["code"] == "member_unknown"
    assert problems == [problems[0]] * 3
    kept = db.query(Refusal.member_id, Refusal.code, Refusal.entered_by).order_by(Refusal.member_id).all()
    assert [tuple(one) for one in kept] == [(one, "member_unknown", organiser.id) for one in sorted(numbers)]
    screen = Screen(reference="screen-1", organisation=city.east.id, place="村活动室", screen="tv")
    session = sessions.begin(organiser, day.id, screen, read_clock())[0].id
    ticks = [{"member": one, "reference": "reference-2"} for one in numbers]
    ticked = client.post(f"/api/v1/activities/{day.id}/group-sessions/{session}/ticks", json={"ticks": ticks})
    assert [one["problem"] for one in ticked.json["answers"]] == problems
    listed = paper(client, day, *(f"{one},张三" for one in numbers)).json["rows"]
    assert [(one["fate"], one["reason"]) for one in listed] == [("refused", "member_unknown")] * 3
    undone = [client.delete(f"/api/v1/activities/{day.id}/members/{one}/check-ins/reference-1") for one in numbers]
    assert [one.json for one in undone] == [undone[0].json] * 3
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
