"""The curve's REST door."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.live.models import CurveMinute, CurveOutage, CurvePoint
from service.org.access import COOKIE
from service.org.models import Organisation
from tests.factories import bearer, make_activity, make_organisation, make_organiser, make_place

BEGIN = datetime(2026, 9, 20, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Recorded:
    """A stream with three points, two minutes and an outage; its organiser is logged in."""

    def __init__(self, client: FlaskClient, db: Session) -> None:
        self.client = client
        self.city = make_organisation(level="city")
        self.county = make_organisation(level="county", parent=self.city)
        self.branch = make_organisation(parent=self.county)
        self.stream: int = make_activity(lead=self.city).sittings[0].streams[0].id
        for online, seconds in enumerate((0, 5, 60)):
            at = BEGIN + seconds * SECOND
            db.add(CurvePoint(stream_id=self.stream, at=at, online=online, connections=4, joined=5, checked_in=6))
        for online in (1, 2):
            homes = {str(self.city.id): online, str(self.county.id): 1} if online == 2 else {str(self.city.id): 1}
            at = BEGIN + online * 60 * SECOND
            db.add(CurveMinute(stream_id=self.stream, at=at, organisations=homes, places={"540102": online}))
        began, ended = BEGIN + 5 * SECOND, BEGIN + 60 * SECOND
        db.add(CurveOutage(stream_id=self.stream, began_at=began, ended_at=ended, reason="valkey"))
        db.commit()
        self.log_in()

    def log_in(self, organisation: Organisation | None = None) -> None:
        self.client.set_cookie(COOKIE, make_organiser(organisation=organisation or self.city)[1])

    def curve(self, stream: int | None = None, **query: Any) -> tuple[int, Any]:
        answer = self.client.get(f"/api/v1/streams/{stream or self.stream}/curve", query_string=query)
        return answer.status_code, answer.json

    def points(self, **query: Any) -> list[Any]:
        status, body = self.curve(**query)
        assert status == 200, body
        return list(body["points"])


@pytest.fixture
def recorded(client: FlaskClient, db: Session) -> Recorded:
    return Recorded(client, db)


def test_an_organiser_reads_the_whole_curve(recorded: Recorded) -> None:
    status, body = recorded.curve()
    assert (status, body["stream"], body["organisation"], body["place"]) == (200, recorded.stream, None, None)
    assert [point["online"] for point in body["points"]] == [0, 1, 2]
    assert body["points"][0] == {
        "at": "2026-09-20T01:00:00.000Z",
        "online": 0,
        "connections": 4,
        "joined": 5,
        "checked_in": 6,
    }
    assert body["outages"] == [
        {"from": "2026-09-20T01:00:05.000Z", "to": "2026-09-20T01:01:00.000Z", "reason": "valkey"}
    ]


def test_only_what_is_new(recorded: Recorded) -> None:
    _, body = recorded.curve(since="2026-09-20T01:00:05Z")
    assert ([point["online"] for point in body["points"]], len(body["outages"])) == ([2], 1)
    _, body = recorded.curve(since="2026-09-20T01:01:00Z")
    assert (body["points"], body["outages"]) == ([], [])


def test_every_node_to_the_county_has_its_minutes(recorded: Recorded) -> None:
    make_place()
    first, second = "2026-09-20T01:01:00.000Z", "2026-09-20T01:02:00.000Z"
    assert recorded.points(organisation=recorded.county.id) == [
        {"at": first, "online": 0},
        {"at": second, "online": 1},
    ]
    assert recorded.points(organisation=recorded.city.id, since=first) == [{"at": second, "online": 2}]
    assert [point["online"] for point in recorded.points(place="540102")] == [1, 2]
    assert [point["online"] for point in recorded.points(place="54")] == [0, 0]
    assert recorded.curve(place="540102")[1]["outages"]


def test_below_the_county_and_of_unknown_nodes_no_curve_is_kept(recorded: Recorded) -> None:
    for query in ({"organisation": recorded.branch.id}, {"organisation": 2**62}, {"place": "999999"}):
        status, body = recorded.curve(**query)
        assert (status, body["code"]) == (404, "not_found")


def test_nodes_are_permitted_as_in_the_feed(recorded: Recorded) -> None:
    elsewhere = make_organisation(level="city")
    status, body = recorded.curve(organisation=elsewhere.id)
    assert (status, body["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query", [{"since": "yesterday"}, {"organisation": 0}, {"organisation": "x"}, {"organisation": 1, "place": "54"}]
)
def test_a_wrong_question_is_refused(recorded: Recorded, query: dict[str, Any]) -> None:
    status, body = recorded.curve(**query)
    assert (status, body["code"]) == (422, "validation")


@pytest.mark.parametrize("number", [2**40, 2**62])
def test_an_unknown_stream_has_no_curve(recorded: Recorded, number: int) -> None:
    status, body = recorded.curve(number)
    assert (status, body["code"]) == (404, "stream_unknown")


def test_another_organisers_stream_has_none_either(recorded: Recorded) -> None:
    recorded.log_in(make_organisation(level="city"))
    for query in ({}, {"organisation": recorded.city.id}, {"place": "54"}):
        status, body = recorded.curve(**query)
        assert (status, body["code"]) == (404, "stream_unknown")


def test_members_have_no_business_here(client: FlaskClient, recorded: Recorded) -> None:
    client.delete_cookie(COOKIE)
    answer = client.get(f"/api/v1/streams/{recorded.stream}/curve", headers=bearer())
    assert (answer.status_code, answer.json and answer.json["code"]) == (401, "token_missing")
