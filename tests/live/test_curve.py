"""The curve's REST door."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.live.models import CurvePoint
from service.org.access import COOKIE
from tests.factories import bearer, make_activity, make_organisation, make_organiser

BEGIN = datetime(2026, 9, 20, 1, tzinfo=UTC)


@pytest.fixture
def stream(client: FlaskClient, db: Session) -> int:
    """A stream with three points, whose organiser is logged in."""
    city = make_organisation(level="city")
    found: int = make_activity(lead=city).sittings[0].streams[0].id
    _, cookie = make_organiser(organisation=city)
    for number, basis in enumerate(("degraded", "exact", "exact")):
        at = BEGIN + timedelta(seconds=5 * number)
        point = CurvePoint(stream_id=found, at=at, online=number, connections=4, joined=5, checked_in=6, basis=basis)
        db.add(point)
    db.commit()
    client.set_cookie(COOKIE, cookie)
    return found


def test_an_organiser_reads_the_whole_curve(client: FlaskClient, stream: int) -> None:
    answer = client.get(f"/api/v1/streams/{stream}/curve")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["stream"] == stream
    assert [point["online"] for point in answer.json["points"]] == [0, 1, 2]
    assert answer.json["points"][0] == {
        "at": "2026-09-20T01:00:00.000Z",
        "online": 0,
        "connections": 4,
        "joined": 5,
        "checked_in": 6,
        "basis": "degraded",
    }


def test_only_what_is_new(client: FlaskClient, stream: int) -> None:
    answer = client.get(f"/api/v1/streams/{stream}/curve", query_string={"since": "2026-09-20T01:00:05Z"})
    assert answer.json is not None
    assert [point["online"] for point in answer.json["points"]] == [2]


def test_a_wrong_time_is_refused(client: FlaskClient, stream: int) -> None:
    answer = client.get(f"/api/v1/streams/{stream}/curve", query_string={"since": "yesterday"})
    assert (answer.status_code, answer.json and answer.json["code"]) == (422, "validation")


@pytest.mark.parametrize("number", [2**40, 2**62])
def test_an_unknown_stream_has_no_curve(client: FlaskClient, stream: int, number: int) -> None:
    answer = client.get(f"/api/v1/streams/{number}/curve")
    assert (answer.status_code, answer.json and answer.json["code"]) == (404, "stream_unknown")


def test_another_organisers_stream_has_none_either(client: FlaskClient, stream: int) -> None:
    _, cookie = make_organiser()
    client.set_cookie(COOKIE, cookie)
    answer = client.get(f"/api/v1/streams/{stream}/curve")
    assert (answer.status_code, answer.json and answer.json["code"]) == (404, "stream_unknown")


def test_members_have_no_business_here(client: FlaskClient, stream: int) -> None:
    client.delete_cookie(COOKIE)
    answer = client.get(f"/api/v1/streams/{stream}/curve", headers=bearer())
    assert (answer.status_code, answer.json and answer.json["code"]) == (401, "token_missing")
