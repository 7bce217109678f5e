"""Checking in over HTTP: the whole way, and every refusal."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.checkin.models import CheckIn
from service.notify.models import Outbox
from tests.factories import bearer, make_activity, make_member, make_organisation, make_place

REFERENCE = "3f0e6e3c-0d7c-4f3e-9a55-2f1a1b0c9d11"


def test_check_in_and_again(client: Any, db: Session) -> None:
    member = make_member(place=make_place())
    activity = make_activity()
    path, headers = f"/api/v1/activities/{activity.id}/check-ins", bearer(member=member)

    first = client.post(path, json={"reference": REFERENCE}, headers=headers)
    again = client.post(path, json={"reference": REFERENCE}, headers=headers)
    other = client.post(path, json={"reference": "another-reference"}, headers=headers)

    assert first.status_code == 201
    assert first.json["activity"] == activity.id
    assert first.json["sitting"] == activity.sittings[0].id
    assert first.json["method"] == "self"
    assert again.status_code == 200
    assert again.json == first.json
    assert (other.status_code, other.json["code"]) == (409, "already_checked_in")
    [row] = db.query(CheckIn).all()
    assert (row.place_path, row.member_id) == ("54.5401.540102", member.id)
    assert db.query(Outbox).count() == 1
    detail = client.get(f"/api/v1/activities/{activity.id}", headers=headers)
    assert detail.json["my_check_ins"] == [first.json]


@pytest.mark.parametrize(("opens", "closes", "code"), [(1, 2, "checkin_not_open"), (-2, -1, "checkin_closed")])
def test_outside_the_window(client: Any, db: Session, opens: int, closes: int, code: str) -> None:
    activity = make_activity(opens=timedelta(hours=opens), closes=timedelta(hours=closes))
    answer = client.post(f"/api/v1/activities/{activity.id}/check-ins", json={"reference": REFERENCE}, headers=bearer())
    assert (answer.status_code, answer.json["code"]) == (409, code)
    assert db.query(CheckIn).count() == 0


def test_rostered_admits_the_invited_subtree_only(client: Any) -> None:
    city = make_organisation(level="city")
    activity = make_activity(lead=city, invited=[city])
    path = f"/api/v1/activities/{activity.id}/check-ins"
    mine = bearer(member=make_member(organisation=make_organisation(parent=city)))
    assert client.post(path, json={"reference": REFERENCE}, headers=mine).status_code == 201
    foreign = client.post(path, json={"reference": REFERENCE}, headers=bearer())
    assert (foreign.status_code, foreign.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "reference_missing"),
        ({"reference": None}, "reference_missing"),
        ({"reference": "short"}, "validation"),
        ({"reference": "with\0nul-inside"}, "validation"),
        ({"reference": "half-\ud800-a-pair"}, "validation"),
        ({"reference": "line-end\n"}, "validation"),
        ({"reference": "x" * 65}, "validation"),
        ({"reference": 12345678}, "validation"),
        ({"reference": ["12345678"]}, "validation"),
        ({"reference": REFERENCE, "sitting": "1"}, "validation"),
        ({"reference": REFERENCE, "sitting": True}, "validation"),
        ({"reference": REFERENCE, "sitting": 2**63}, "validation"),
        ({"reference": REFERENCE, "happened_at": "yesterday"}, "validation"),
        ({"reference": REFERENCE, "happened_at": "2026-01-01T00:00:00"}, "validation"),
        ({"reference": REFERENCE, "happened_at": "0001-01-01T00:00:00+14:00"}, "validation"),
        ({"reference": REFERENCE, "happened_at": 5}, "validation"),
        ({"reference": REFERENCE, "surprise": 1}, "validation"),
        ([], "validation"),
    ],
)
def test_bad_bodies(client: Any, db: Session, body: object, code: str) -> None:
    activity = make_activity()
    answer = client.post(
        f"/api/v1/activities/{activity.id}/check-ins",
        data=json.dumps(body),
        content_type="application/json",
        headers=bearer(),
    )
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert answer.content_type.startswith("application/problem+json")
    assert db.query(CheckIn).count() == 0


def test_malformed_oversized_and_unknown(client: Any) -> None:
    activity = make_activity()
    path, headers = f"/api/v1/activities/{activity.id}/check-ins", bearer()
    malformed = client.post(path, data="{", content_type="application/json", headers=headers)
    assert (malformed.status_code, malformed.json["code"]) == (400, "bad_request")
    oversized = client.post(path, json={"reference": "x" * 70_000}, headers=headers)
    assert (oversized.status_code, oversized.json["code"]) == (413, "body_too_large")
    for number in (999_999, 2**63, 10**30):
        unknown = client.post(f"/api/v1/activities/{number}/check-ins", json={"reference": REFERENCE}, headers=headers)
        assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")


def test_a_foreign_sitting_is_not_found(client: Any) -> None:
    activity, other = make_activity(), make_activity()
    body = {"reference": REFERENCE, "sitting": other.sittings[0].id}
    answer = client.post(f"/api/v1/activities/{activity.id}/check-ins", json=body, headers=bearer())
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_without_a_token(client: Any) -> None:
    answer = client.post(f"/api/v1/activities/{make_activity().id}/check-ins", json={"reference": REFERENCE})
    assert (answer.status_code, answer.json["code"]) == (401, "token_missing")


@pytest.mark.parametrize(("told", "believed"), [(-10, -10), (-120, 0), (10, 0)])
def test_a_phones_clock_is_believed_where_it_can_be_right(client: Any, told: int, believed: int) -> None:
    activity = make_activity()
    claimed = datetime.now(UTC) + timedelta(minutes=told)
    body = {"reference": REFERENCE, "happened_at": claimed.isoformat()}
    answer = client.post(f"/api/v1/activities/{activity.id}/check-ins", json=body, headers=bearer())
    happened = datetime.fromisoformat(answer.json["happened_at"])
    received = datetime.fromisoformat(answer.json["received_at"])
    assert abs(happened - received - timedelta(minutes=believed)) < timedelta(minutes=1)
