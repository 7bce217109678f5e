"""Activities over HTTP: who sees what, creating, editing, and every refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.org.models import Organisation
from tests.factories import bearer, make_activity, make_member, make_organisation, make_organiser

COOKIE = "chunshui_organiser"
NOW = datetime(2026, 9, 20, 1, 0, tzinfo=UTC)


def at(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat()


def draft(lead: Organisation, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "themed_day",
        "theme": "学习新思想、建功新时代",
        "organisers": [{"id": lead.id, "tier": "lead"}],
        "sittings": [
            {
                "starts_at": at(0),
                "ends_at": at(2),
                "streams": [
                    {"title": "现场直播", "sources": [{"kind": "hls", "url": "https://live.example.org/1.m3u8"}]}
                ],
            }
        ],
    } | changes


def as_organiser(client: Any, organisation: Organisation) -> Any:
    client.set_cookie(COOKIE, make_organiser(organisation=organisation)[1])
    return client


def test_a_member_sees_what_includes_him(client: Any) -> None:
    city = make_organisation(level="city")
    for_all = make_activity(series="党员开会了", edition="33上")
    for_us = make_activity(invited=[city])
    over = make_activity(opens=-timedelta(days=2), closes=-timedelta(days=1))
    mine = bearer(member=make_member(organisation=make_organisation(parent=city)))
    foreign = bearer()

    def seen(headers: dict[str, str]) -> list[int]:
        return [one["id"] for one in client.get("/api/v1/activities", headers=headers).json["activities"]]

    assert seen(mine) == sorted([for_all.id, for_us.id])
    assert seen(foreign) == [for_all.id]
    assert client.get(f"/api/v1/activities/{for_us.id}", headers=mine).status_code == 200
    assert client.get(f"/api/v1/activities/{over.id}", headers=mine).status_code == 200
    for number in (for_us.id, 10**9, 2**63):
        hidden = client.get(f"/api/v1/activities/{number}", headers=foreign)
        assert (hidden.status_code, hidden.json["code"]) == (404, "not_found")


def test_the_detail_tells_all_that_is_needed_to_join(client: Any) -> None:
    lead = make_organisation(level="city", name="成都市")
    activity = make_activity(lead=lead, series="党员开会了", edition="33上", now=NOW)
    shown = client.get(f"/api/v1/activities/{activity.id}", headers=bearer()).json
    [sitting] = shown.pop("sittings")
    [stream] = sitting.pop("streams")
    assert shown == {
        "id": activity.id,
        "kind": "themed_day",
        "theme": "学习新思想、建功新时代",
        "series": {"id": activity.series_id, "name": "党员开会了", "edition": "33上"},
        "attendance": "open",
        "rehearsal": False,
        "timezone": "Asia/Shanghai",
        "organisers": [{"id": lead.id, "name": "成都市", "tier": "lead"}],
        "my_check_ins": [],
    }
    window = {"opens_at": "2026-09-20T00:00:00.000Z", "closes_at": "2026-09-20T02:00:00.000Z"}
    assert sitting["checkin_opens_at"] == window["opens_at"]
    assert stream == {
        "id": activity.sittings[0].streams[0].id,
        "title": "现场直播",
        "grace_seconds": 10,
        **window,
        "sources": [{"kind": "hls", "url": "https://live.example.org/1.m3u8"}],
        "gateway": "http://localhost:8001",
    }


def test_the_list_says_less_and_asks_the_same_number_of_queries(client: Any, db: Session) -> None:
    statements: list[str] = []
    headers = bearer()

    def summaries() -> list[Any]:
        db.expire_all()
        statements.clear()
        return list(client.get("/api/v1/activities", headers=headers).json["activities"])

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    make_activity()
    event.listen(db.get_bind(), "before_cursor_execute", note)
    [summary] = summaries()
    few = len(statements)
    make_activity(series="书记龙门阵")
    make_activity()
    assert len(summaries()) == 3
    assert len(statements) == few
    event.remove(db.get_bind(), "before_cursor_execute", note)
    assert "my_check_ins" not in summary
    assert not {"gateway", "sources"} & summary["sittings"][0]["streams"][0].keys()


def test_an_organiser_sees_what_his_part_of_the_tree_holds(client: Any) -> None:
    province = make_organisation(level="province")
    city, other = (make_organisation(level="city", parent=province) for _ in range(2))
    ours, theirs = make_activity(lead=city), make_activity(lead=other)
    as_organiser(client, city)
    assert [one["id"] for one in client.get("/api/v1/organisers/activities").json["activities"]] == [ours.id]
    assert client.get(f"/api/v1/activities/{ours.id}").status_code == 200
    assert client.get(f"/api/v1/activities/{theirs.id}").json["code"] == "not_found"
    as_organiser(client, province)
    seen = [one["id"] for one in client.get("/api/v1/organisers/activities").json["activities"]]
    assert seen == [theirs.id, ours.id]


def test_create_and_edit(client: Any) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    made = client.post("/api/v1/activities", json=draft(city, series={"name": "党员开会了", "edition": "34"}))
    assert made.status_code == 201
    [sitting] = made.json["sittings"]
    [stream] = sitting["streams"]
    assert sitting["checkin_closes_at"] == stream["closes_at"] == "2026-09-20T03:00:00.000Z"
    path = f"/api/v1/activities/{made.json['id']}"
    assert client.get(path).json == made.json

    changes = {
        "theme": "红色研学强党性",
        "attendance": "rostered",
        "invited": [city.id],
        "series": None,
        "sittings": [
            {"id": sitting["id"], "ends_at": at(3), "streams": [{"id": stream["id"], "grace_seconds": 30}]},
            {"starts_at": at(24), "ends_at": at(26)},
        ],
    }
    edited = client.patch(path, json=changes)
    assert edited.status_code == 200
    assert (edited.json["theme"], edited.json["attendance"], edited.json["series"]) == (
        "红色研学强党性",
        "rostered",
        None,
    )
    first, second = edited.json["sittings"]
    assert (first["ends_at"], first["checkin_closes_at"]) == (
        "2026-09-20T04:00:00.000Z",
        "2026-09-20T04:00:00.000Z",
    )
    assert first["streams"] == [{**stream, "grace_seconds": 30, "closes_at": "2026-09-20T04:00:00.000Z"}]
    assert (second["checkin_opens_at"], second["streams"]) == ("2026-09-21T01:00:00.000Z", [])


def test_a_member_sees_an_edit_at_once_and_nothing_that_no_longer_includes_him(client: Any) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    path = f"/api/v1/activities/{client.post('/api/v1/activities', json=draft(city)).json['id']}"
    mine, foreign = bearer(member=make_member(organisation=make_organisation(parent=city))), bearer()
    for theme, invited in (("红色研学强党性", []), ("别的", [city.id])):
        for headers in (mine, foreign):
            assert client.get(path, headers=headers).status_code == 200
        changes = {"theme": theme, "attendance": "rostered" if invited else "open", "invited": invited}
        assert client.patch(path, json=changes).status_code == 200
        assert client.get(path, headers=mine).json["theme"] == theme
    assert client.get(path, headers=foreign).status_code == 404


def test_windows_move_with_their_sitting_unless_they_were_set_apart(client: Any) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    sitting = draft(city)["sittings"][0] | {"checkin_closes_at": at(1)}
    sitting["streams"].append({"title": "回放", "closes_at": at(9)})
    made = client.post("/api/v1/activities", json=draft(city, sittings=[sitting])).json
    [before] = made["sittings"]
    changes = {"id": before["id"], "starts_at": at(0.5), "ends_at": at(3)}
    [after] = client.patch(f"/api/v1/activities/{made['id']}", json={"sittings": [changes]}).json["sittings"]
    live, replay = after["streams"]
    half_past, four = "2026-09-20T01:30:00.000Z", "2026-09-20T04:00:00.000Z"
    assert (live["opens_at"], live["closes_at"]) == (half_past, four)
    assert (replay["opens_at"], replay["closes_at"]) == (half_past, before["streams"][1]["closes_at"])
    assert (after["checkin_opens_at"], after["checkin_closes_at"]) == (half_past, before["checkin_closes_at"])


def test_who_may_create_and_edit(client: Any, db: Session) -> None:
    province = make_organisation(level="province")
    city, other = (make_organisation(level="city", parent=province) for _ in range(2))
    as_organiser(client, city)
    foreign = client.post("/api/v1/activities", json=draft(other))
    assert (foreign.status_code, foreign.json["code"]) == (403, "forbidden")
    assert db.query(Activity).count() == 0
    assisting = draft(other)
    assisting["organisers"].append({"id": city.id, "tier": "assisting"})
    as_organiser(client, province)
    made = client.post("/api/v1/activities", json=assisting)
    assert made.status_code == 201
    path = f"/api/v1/activities/{made.json['id']}"
    as_organiser(client, city)
    refused = client.patch(path, json={"theme": "别的"})
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    as_organiser(client, make_organisation(level="city"))
    hidden = client.patch(path, json={"theme": "别的"})
    assert (hidden.status_code, hidden.json["code"]) == (404, "not_found")
    as_organiser(client, other)
    given_away = client.patch(path, json={"organisers": [{"id": city.id, "tier": "lead"}]})
    assert (given_away.status_code, given_away.json["code"]) == (403, "forbidden")
    shown = client.get(path).json
    assert (shown["theme"], [one["tier"] for one in shown["organisers"]]) == (
        "学习新思想、建功新时代",
        ["lead", "assisting"],
    )


def test_an_edition_exists_once(client: Any) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    numbered = draft(city, series={"name": "党员开会了", "edition": "34"})
    assert client.post("/api/v1/activities", json=numbered).status_code == 201
    twice = client.post("/api/v1/activities", json=numbered)
    assert (twice.status_code, twice.json["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "party"},
        {"theme": ""},
        {"theme": "nul\0"},
        {"theme": "x" * 201},
        {"theme": 5},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"attendance": "rostered"},
        {"invited": [1]},
        {"rehearsal": "yes"},
        {"organisers": []},
        {"organisers": [{"id": 10**12, "tier": "lead"}]},
        {"organisers": [{"id": 2**63, "tier": "lead"}]},
        {"sittings": []},
        {"sittings": [{"starts_at": at(1), "ends_at": at(0)}]},
        {"sittings": [{"starts_at": at(1)}]},
        {"sittings": [{"starts_at": "2026-09-20", "ends_at": at(0)}]},
        {"sittings": [{"starts_at": at(0), "ends_at": "9999-12-31T23:59:59-14:00"}]},
        {"sittings": [{"id": 1, "starts_at": at(0), "ends_at": at(1)}]},
        {"sittings": [{"starts_at": at(0), "ends_at": at(1), "streams": [{}]}]},
        {"sittings": [{"starts_at": at(0), "ends_at": at(1), "streams": [{"title": "x", "grace_seconds": 601}]}]},
        {
            "sittings": [
                {
                    "starts_at": at(0),
                    "ends_at": at(1),
                    "streams": [{"title": "x", "sources": [{"kind": "hls", "url": "javascript:alert(1)"}]}],
                }
            ]
        },
        {"surprise": 1},
    ],
)
def test_bad_drafts_write_nothing(client: Any, db: Session, changes: dict[str, Any]) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    answer = client.post("/api/v1/activities", json=draft(city, **changes))
    assert (answer.status_code, answer.json["code"]) == (422, "validation")
    assert db.query(Activity).count() == 0


def test_an_organiser_twice_is_one_too_many(client: Any) -> None:
    city = make_organisation(level="city")
    as_organiser(client, city)
    doubled = draft(city, organisers=[{"id": city.id, "tier": tier} for tier in ("lead", "assisting")])
    assert client.post("/api/v1/activities", json=doubled).json["code"] == "validation"


def test_the_doors_ask_who(client: Any) -> None:
    activity = make_activity()
    for method, path in (
        ("get", "/api/v1/activities"),
        ("get", f"/api/v1/activities/{activity.id}"),
        ("post", "/api/v1/activities"),
        ("patch", f"/api/v1/activities/{activity.id}"),
        ("get", "/api/v1/organisers/activities"),
    ):
        answer = getattr(client, method)(path, **({} if method == "get" else {"json": {}}))
        assert (answer.status_code, answer.json["code"]) == (401, "token_missing")
    as_member = client.post("/api/v1/activities", json=draft(make_organisation()), headers=bearer())
    assert as_member.status_code == 401


def test_the_qr_code_is_for_everybody(client: Any) -> None:
    answer = client.get("/api/v1/activities/7/qr.svg")
    assert answer.status_code == 200
    assert answer.content_type == "image/svg+xml"
    assert answer.data.lstrip().startswith((b"<svg", b"<?xml"))
