"""The secretary's desk over HTTP: a batch, its repeats, what is refused in it, figures, leave, and a member's undo."""

import json
from typing import Any

from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin.attendance import roster
from service.checkin.models import CheckIn, Refusal
from service.clock import iso
from service.clock import now as read_clock
from tests.checkin.people import City, attach
from tests.factories import bearer, make_activity, make_member, make_organiser

COOKIE = "chunshui_organiser"


def ticks(*members: int, **more: Any) -> dict[str, Any]:
    return {"check_ins": [{"member": one, "reference": f"tick-of-{one}", "method": "group"} | more for one in members]}


def batch(desk: Any, day: Activity, body: Any) -> Any:
    # Escaped, so that half a surrogate pair can be sent.
    path = f"/api/v1/activities/{day.id}/check-ins/batch"
    return desk.post(path, data=json.dumps(body), content_type="application/json")


def codes(answer: Any) -> list[Any]:
    return [(one["problem"] or {}).get("code", one["status"]) for one in answer.json["answers"]]


def test_a_batch_has_an_answer_for_each_and_may_be_sent_again(
    db: Session, desk: Any, city: City, day: Activity
) -> None:
    body = ticks(city.ana.id, city.ben.id)
    first, again = batch(desk, day, body), batch(desk, day, body)
    assert (codes(first), codes(again)) == ([201, 201], [200, 200])
    shown = [[one["check_in"] for one in answer.json["answers"]] for answer in (first, again)]
    assert shown[0] == shown[1]
    assert [one["method"] for one in shown[0]] == ["group", "group"]
    assert db.query(CheckIn).count() == 2


def test_what_cannot_be_read_or_is_refused_leaves_the_others(db: Session, desk: Any, city: City, day: Activity) -> None:
    good = ticks(city.ana.id)["check_ins"]
    bad: list[Any] = [
        None, 5, [], {}, good[0] | {"reference": "nul\0inside-it"}, good[0] | {"reference": "half-\ud800-a-pair"},
        good[0] | {"member": "1"}, good[0] | {"method": "self"}, good[0] | {"reason": "a\0b"}, good[0] | {"x": 1},
    ]  # fmt: skip
    refused = [
        *ticks(city.cleo.id, 10**15, 2**63 - 1)["check_ins"],
        good[0] | {"reference": "proxy-of-1", "method": "proxy"},
    ]
    answer = batch(desk, day, {"check_ins": [*bad, *refused, *good]})
    expected = ["validation"] * len(bad) + ["member_unknown"] * 3 + ["reason_missing", 201]
    assert codes(answer) == expected
    listed = desk.get(f"/api/v1/activities/{day.id}/check-in-refusals").json["refusals"]
    assert sorted(one["code"] for one in listed) == ["member_unknown"] * 3 + ["reason_missing"]
    path = f"/api/v1/activities/{day.id}/check-in-refusals/{listed[0]['id']}/settlement"
    for said in ("已核实", "另说"):
        assert desk.put(path, json={"settlement": said}).json["settlement"] == "已核实"
    assert len(desk.get(f"/api/v1/activities/{day.id}/check-in-refusals").json["refusals"]) == 3
    assert db.query(Refusal).count() == 4


def test_a_batch_holds_five_hundred_with_reasons_and_no_more(desk: Any, city: City, day: Activity) -> None:
    one = ticks(city.ana.id, method="proxy", reason="无" * 200)["check_ins"][0]
    assert batch(desk, day, {"check_ins": [one] * 500}).status_code == 200
    assert batch(desk, day, {"check_ins": [one] * 501}).json["code"] == "validation"
    assert batch(desk, day, {"check_ins": []}).json["code"] == "validation"
    assert batch(desk, day, {"check_ins": [one | {"reason": "x" * 1_100_000}]}).json["code"] == "body_too_large"


def test_who_stays_with_the_branch_may_be_ticked_there(desk: Any, city: City, day: Activity) -> None:
    assert codes(batch(desk, day, ticks(city.dan.id))) == ["member_unknown"]
    attach(city.dan, city.east)
    assert codes(batch(desk, day, ticks(city.dan.id))) == [201]


def test_figures_missing_and_leave_at_ones_own_node(desk: Any, city: City, day: Activity) -> None:
    path, node = f"/api/v1/activities/{day.id}", {"node": city.east.id}
    before = desk.get(f"{path}/attendance", query_string=node).json
    assert (before["sums"], before["denominator"]) == (None, None)
    assert desk.get(f"{path}/missing", query_string=node).json["code"] == "roster_open"
    roster.freeze(day.id, read_clock())
    batch(desk, day, ticks(city.ana.id))
    leave = desk.post(f"{path}/leaves", json={"member": city.ben.id, "reason": "出差"}).json
    assert [one["member"] for one in desk.get(f"{path}/missing", query_string=node).json["missing"]] == [city.ben.id]
    assert desk.put(f"{path}/leaves/{leave['id']}/decision", json={"approved": True}).json["state"] == "approved"
    found = desk.get(f"{path}/attendance", query_string=node).json
    assert found["sums"] == {
        "expected": 2, "exempt": 0, "present": 1, "exempt_present": 0, "on_leave": 1, "made_up": 0, "completed": 1,
        "absent": 0, "rate": 0.5,
    }  # fmt: skip
    assert (found["unit"], found["denominator"], found["basis"]) == ("member", "expected", "exact")
    assert desk.get(f"{path}/missing", query_string=node).json == {"missing": [], "after": None}
    assert desk.get(f"{path}/attendance", query_string={"node": city.west.id}).status_code == 404
    opened = make_activity()
    answer = desk.get(f"/api/v1/activities/{opened.id}/missing", query_string=node)
    assert answer.json["code"] == "not_rostered"


def test_a_member_undoes_asks_for_leave_and_takes_it_back(client: Any, city: City, day: Activity) -> None:
    path, headers = f"/api/v1/activities/{day.id}", bearer(member=city.ana)
    client.post(f"{path}/check-ins", json={"reference": "reference-1"}, headers=headers)
    undone = client.delete(f"{path}/check-ins/reference-1", headers=headers)
    assert (undone.status_code, undone.json["annulled_at"] is None) == (200, False)
    again = client.post(f"{path}/check-ins", json={"reference": "reference-1"}, headers=headers)
    assert (again.status_code, again.json["code"]) == (409, "checkin_annulled")
    [mine] = client.get(path, headers=headers).json["my_check_ins"]
    assert mine["annulled_at"] == undone.json["annulled_at"]
    assert client.put(f"{path}/leave", json={"reason": "出差"}, headers=headers).json["state"] == "asked"
    assert [client.delete(f"{path}/leave", headers=headers).status_code for _ in range(2)] == [204, 204]


def test_a_member_sees_how_he_stands(client: Any, city: City, day: Activity) -> None:
    path, ana, dan = f"/api/v1/activities/{day.id}", bearer(member=city.ana), bearer(member=city.dan)
    before = client.get(f"{path}/my-attendance", headers=ana).json
    credit = {"source": None, "missing": ["check_in"], "asked": {"live_minutes": 0, "replay": False}}
    assert before == {
        "expected": None,
        "leave": None,
        "make_up": None,
        "make_up_until": None,
        "credit": credit,
        "fence": None,
    }
    client.put(f"{path}/leave", json={"reason": "出差"}, headers=ana)
    roster.freeze(day.id, read_clock())
    asked = client.get(f"{path}/my-attendance", headers=ana).json
    assert (asked["expected"], asked["leave"]["state"]) == (True, "asked")
    assert asked["make_up_until"] > iso(day.sittings[0].ends_at)
    client.post(f"{path}/check-ins", json={"reference": "reference-1"}, headers=ana)
    assert client.get(f"{path}/my-attendance", headers=ana).json["make_up_until"] is None
    assert client.get(f"{path}/my-attendance", headers=dan).status_code == 404


def test_terms_are_the_leads_to_say_and_a_frozen_denominator_stays(client: Any, city: City, day: Activity) -> None:
    client.set_cookie(COOKIE, make_organiser(organisation=city.city)[1])
    path = f"/api/v1/activities/{day.id}/attendance-terms"
    assert client.put(path, json={"denominator": "expected_less_leave"}).json["late_minutes"] == 0
    roster.freeze(day.id, read_clock())
    assert client.put(path, json={"denominator": "expected"}).json["code"] == "roster_frozen"
    assert client.put(path, json={"denominator": "expected_less_leave", "late_minutes": 5}).status_code == 200
    for wrong in ({"late_minutes": -1}, {"late_minutes": True}, {"proxy_cap": 10**9}, {"denominator": "x"}, {"x": 1}):
        assert client.put(path, json=wrong).json["code"] == "validation"


def test_a_stranger_to_the_activity_is_told_of_none(client: Any, city: City, day: Activity) -> None:
    client.set_cookie(COOKIE, make_organiser(organisation=city.away, role="branch_secretary")[1])
    assert batch(client, day, ticks(make_member(organisation=city.away).id)).status_code == 404
