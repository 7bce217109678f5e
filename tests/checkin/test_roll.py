"""The roll of a branch: who is on it, what was noted of each, and what an organiser keeps attendance of."""

from datetime import timedelta
from typing import Any

import pytest

from service.activity.models import Activity
from service.checkin.attendance import roster
from service.checkin.roll import calling
from service.clock import now as read_clock
from tests.checkin.people import City, attach
from tests.factories import HOUR, bearer, make_activity, make_member


def called(desk: Any, day: Activity, city: City) -> dict[int, Any]:
    answer = desk.get(f"/api/v1/activities/{day.id}/roll", query_string={"node": city.east.id}).json
    return {one["member"]: one for one in answer["roll"]}


def tick(desk: Any, day: Activity, member: int, **more: Any) -> Any:
    body = {"member": member, "reference": f"tick-of-{member}", "method": "group"} | more
    [answer] = desk.post(f"/api/v1/activities/{day.id}/check-ins/batch", json={"check_ins": [body]}).json["answers"]
    return answer["check_in"]


def test_before_the_start_nobody_is_expected_and_everybody_at_home_is_on_it(
    desk: Any, city: City, day: Activity
) -> None:
    attach(city.cleo, city.east)
    found = called(desk, day, city)
    assert {one["standing"] for one in found.values()} == {"open"}
    assert set(found) == {city.ana.id, city.ben.id, city.cleo.id}


def test_once_frozen_it_is_the_roster_with_guests(desk: Any, city: City, day: Activity) -> None:
    roster.freeze(day.id, read_clock())
    guest, newcomer = make_member(organisation=city.east), make_member(organisation=city.east)
    desk.post(f"/api/v1/activities/{day.id}/guests", json={"member": guest.id})
    tick(desk, day, guest.id)
    found = called(desk, day, city)
    assert {number: one["standing"] for number, one in found.items()} == {
        city.ana.id: "expected", city.ben.id: "expected", guest.id: "guest"
    }  # fmt: skip
    assert newcomer.id not in found


def test_what_was_noted_of_each_is_there_with_its_history(client: Any, desk: Any, city: City, day: Activity) -> None:
    roster.freeze(day.id, read_clock())
    ticked = tick(desk, day, city.ana.id)
    desk.post(f"/api/v1/activities/{day.id}/check-ins/{ticked['id']}/annulment", json={"reason": "误签"})
    tick(desk, day, city.ana.id, reference="once-more", method="proxy", reason="无手机")
    path = f"/api/v1/activities/{day.id}"
    client.put(f"{path}/leave", json={"reason": "出差"}, headers=bearer(member=city.ben))
    found = called(desk, day, city)
    first, second = found[city.ana.id]["check_ins"]
    assert (first["method"], first["annul_reason"], first["mine"]) == ("group", "误签", True)
    assert (second["method"], second["reason"], second["annulled_at"], second["confirmed_at"]) == (
        "proxy", "无手机", None, None
    )  # fmt: skip
    assert found[city.ben.id]["leave"]["state"] == "asked"
    client.delete(f"{path}/leave", headers=bearer(member=city.ben))
    assert called(desk, day, city)[city.ben.id]["leave"] is None


def test_it_comes_in_pages_in_a_steady_order(
    desk: Any, city: City, day: Activity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "MOST", 1)
    seen: list[int] = []
    after: str | None = ""
    for _ in range(3):
        query = {"node": city.east.id, "after": after}
        page = desk.get(f"/api/v1/activities/{day.id}/roll", query_string=query).json
        seen += [one["member"] for one in page["roll"]]
        after = page["after"]
    assert seen == [city.ana.id, city.ben.id]
    assert after is None


def test_nobody_calls_anothers_roll(desk: Any, city: City, day: Activity) -> None:
    answer = desk.get(f"/api/v1/activities/{day.id}/roll", query_string={"node": city.west.id})
    assert answer.status_code == 404


def test_the_desk_shows_ones_branches_and_what_concerns_them(desk: Any, city: City, day: Activity) -> None:
    opened, elsewhere = make_activity(), make_activity(invited=[city.away])
    lately = make_activity(invited=[city.east], opens=-50 * HOUR, closes=-40 * HOUR)
    long_ago = make_activity(invited=[city.east], opens=-timedelta(days=60), closes=-timedelta(days=40))
    found = desk.get("/api/v1/organisers/desk").json
    assert found["branches"] == [{"id": city.east.id, "name": city.east.name, "level": "branch"}]
    shown = {one["id"] for one in found["activities"]}
    assert {day.id, opened.id, lately.id} <= shown
    assert not {elsewhere.id, long_ago.id} & shown
