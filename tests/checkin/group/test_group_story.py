"""Collective viewing over HTTP: opened, ticked twice, counted, closed, one tick undone, and shown apart."""

import json
from typing import Any

from sqlalchemy.orm import Session

from service.checkin.attendance import roster
from service.clock import now as read_clock
from tests.checkin.people import make_city
from tests.factories import make_activity, make_organiser


def test_a_branch_watches_together(client: Any, db: Session) -> None:
    city = make_city()
    day = make_activity(lead=city.city, invited=[city.city])
    roster.freeze(day.id, read_clock())
    client.set_cookie("chunshui_organiser", make_organiser(organisation=city.east, role="branch_secretary")[1])
    path = f"/api/v1/activities/{day.id}"
    opening = {"reference": "screen-1", "organisation": city.east.id, "place": "村活动室", "screen": "tv"}
    opened = [client.post(f"{path}/group-sessions", json=opening) for _ in range(2)]
    assert [one.status_code for one in opened] == [201, 200]
    assert opened[0].json == opened[1].json
    session = f"{path}/group-sessions/{opened[0].json['id']}"
    ticks = [{"member": one, "reference": f"tick-of-{one}"} for one in (city.ana.id, city.cleo.id)] + ["nonsense", None]
    answers = [client.post(f"{session}/ticks", json={"ticks": ticks}).json["answers"] for _ in range(2)]
    assert [[one["status"] for one in told] for told in answers] == [[201, 404, 422, 422], [200, 404, 422, 422]]
    assert client.put(f"{session}/headcount", json={"people": 40}).json["headcount"] == 40
    for wrong in ({"people": -1}, {"people": 100_001}, {"people": True}, {"people": 1.5}, {}, {"people": None}):
        assert client.put(f"{session}/headcount", json=wrong).json["code"] == "validation"
    for other in ({"place": "a\0b"}, {"place": "\ud800"}, {"place": ""}, {"screen": "wall"}, {"reference": "short"}):
        sent = {"data": json.dumps(opening | other), "content_type": "application/json"}
        assert client.post(f"{path}/group-sessions", **sent).json["code"] == "validation"
    closed = [client.put(f"{session}/closure").json for _ in range(2)]
    assert closed[0] == closed[1]
    assert closed[0]["closed_at"]
    found = client.get(f"{path}/attendance", query_string={"node": city.east.id}).json
    heads = {"sessions": 1, "counted": 1, "headcount": 40, "ticked": 1}
    assert found["collective"] == heads | {"children": [heads | {"node": 0}]}
    assert found["sums"]["present"] == 1
    undo = f"{path}/members/{city.ana.id}/check-ins/tick-of-{city.ana.id}"
    undone = [client.delete(undo) for _ in range(2)]
    assert [one.status_code for one in undone] == [200, 200]
    assert undone[0].json == undone[1].json
    [listed] = client.get(f"{path}/group-sessions").json["group_sessions"]
    assert listed == closed[0] | {"ticked": 0}
