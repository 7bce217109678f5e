"""Webhooks through HTTP, as an organiser's integrator meets them."""

import json
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from service.clock import now as read_clock
from service.notify import endpoints, outbox
from service.notify.courier import Courier
from service.notify.models import Endpoint
from service.notify.views import bp
from tests.notify.conftest import configured
from tests.notify.factories import publish_check_in
from tests.notify.receiver import Receiver, Reply

ANA, BEN, CLEO = ({"X-Test-Organiser": name} for name in ("ana", "ben", "cleo"))
URL = "https://example.org/hook"


def register(client: FlaskClient, headers: dict[str, str] = ANA, **body: Any) -> Any:
    answer = client.post("/api/v1/endpoints", json={"url": URL, "topics": ["checkin.created"]} | body, headers=headers)
    assert answer.status_code == 201, answer.text
    return document(answer)


def document(answer: TestResponse) -> Any:
    """The JSON of an answer."""
    return answer.json


def refused(client: FlaskClient, body: Any) -> tuple[int, str]:
    answer = client.post("/api/v1/endpoints", data=json.dumps(body), headers=ANA, content_type="application/json")
    assert answer.content_type.startswith("application/problem+json")
    return answer.status_code, document(answer)["code"]


def test_from_registration_to_replay(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    client = app.test_client()
    answer = client.post("/api/v1/endpoints", json={"url": receiver.url, "topics": ["checkin.created"]}, headers=ANA)
    assert answer.headers["Cache-Control"] == "no-store"
    assert document(answer)["created_at"].endswith("Z")
    made = document(answer)
    assert made["secret"].startswith("whsec_")

    (listed,) = document(client.get("/api/v1/endpoints", headers=ANA))["endpoints"]
    assert listed == {key: value for key, value in made.items() if key != "secret"} | {"disabled_reason": None}

    configured(app, webhook_retry_seconds=3600.0)
    receiver.reply = lambda _: Reply(500)
    publish_check_in()
    courier(app)
    page = document(client.get(f"/api/v1/endpoints/{made['id']}/deliveries", headers=ANA))
    (failed,) = page["deliveries"]
    assert (failed["topic"], failed["state"], failed["last_status"]) == ("checkin.created", "pending", 500)
    assert page["next"] is None

    receiver.reply = lambda _: Reply(204)
    path = f"/api/v1/endpoints/{made['id']}/deliveries/{failed['id']}/retry"
    assert client.post(path, headers=ANA).status_code == 202
    courier(app)
    assert receiver.ids == [failed["webhook_id"]] * 2
    assert receiver.arrivals[1].verified(made["secret"])

    assert client.delete(f"/api/v1/endpoints/{made['id']}", headers=ANA).status_code == 204
    assert document(client.get("/api/v1/endpoints", headers=ANA)) == {"endpoints": []}


def test_an_ancestor_sees_it_and_nobody_else(client: FlaskClient) -> None:
    mine = register(client, BEN)["id"]
    theirs = register(client, ANA)["id"]
    apart = register(client, CLEO)["id"]
    assert [one["id"] for one in document(client.get("/api/v1/endpoints", headers=ANA))["endpoints"]] == [mine, theirs]
    assert [one["id"] for one in document(client.get("/api/v1/endpoints", headers=BEN))["endpoints"]] == [mine]
    assert [one["id"] for one in document(client.get("/api/v1/endpoints", headers=CLEO))["endpoints"]] == [apart]
    assert client.delete(f"/api/v1/endpoints/{apart}", headers=ANA).status_code == 404
    assert client.get(f"/api/v1/endpoints/{mine}/deliveries", headers=CLEO).status_code == 404
    assert client.delete(f"/api/v1/endpoints/{mine}", headers=CLEO).status_code == 404
    assert client.post(f"/api/v1/endpoints/{mine}/deliveries/1/retry", headers=CLEO).status_code == 404
    assert client.delete(f"/api/v1/endpoints/{theirs}", headers=BEN).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/endpoints"),
        ("GET", "/api/v1/endpoints"),
        ("DELETE", "/api/v1/endpoints/1"),
        ("GET", "/api/v1/endpoints/1/deliveries"),
        ("POST", "/api/v1/endpoints/1/deliveries/1/retry"),
    ],
)
def test_nobody_without_a_log_in(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method, json={"url": URL, "topics": ["checkin.created"]})
    assert (answer.status_code, document(answer)["code"]) == (401, "token_missing")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": URL},
        {"url": URL, "topics": []},
        {"url": URL, "topics": ["checkin.created", "unknown"]},
        {"url": URL, "topics": "checkin.created"},
        {"url": 7, "topics": ["checkin.created"]},
        {"url": "https://example.org/" + "x" * 2048, "topics": ["checkin.created"]},
        {"url": URL, "topics": ["checkin.created"], "secret": "mine"},
        {"url": "https://exa\0mple.org/", "topics": ["checkin.created"]},
        {"url": "https://example.org/\ud800", "topics": ["checkin.created"]},
        {"url": "https://example.org/\r\nX-Injected: 1", "topics": ["checkin.created"]},
        [],
    ],
)
def test_bad_bodies(client: FlaskClient, db: Session, body: Any) -> None:
    assert refused(client, body) == (422, "validation")
    assert not db.scalars(select(Endpoint)).all()


@pytest.mark.parametrize("url", ["https://exa mple.org/", "file:///etc/passwd", "https://a:b@example.org/", "nonsense"])
def test_bad_urls(client: FlaskClient, db: Session, url: str) -> None:
    assert refused(client, {"url": url, "topics": ["checkin.created"]}) == (422, "endpoint_refused")
    assert not db.scalars(select(Endpoint)).all()


def test_malformed_json(client: FlaskClient) -> None:
    answer = client.post("/api/v1/endpoints", data=b"{", headers=ANA, content_type="application/json")
    assert (answer.status_code, document(answer)["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "number", ["0", "9223372036854775807", "9223372036854775808", "99999999999999999999", "-1", "x"]
)
def test_odd_numbers_are_not_found(client: FlaskClient, number: str) -> None:
    assert client.delete(f"/api/v1/endpoints/{number}", headers=ANA).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=0", "before=99999999999999999999", "state=odd"])
def test_odd_queries_are_refused(client: FlaskClient, query: str) -> None:
    made = register(client)
    answer = client.get(f"/api/v1/endpoints/{made['id']}/deliveries?{query}", headers=ANA)
    assert (answer.status_code, document(answer)["code"]) == (422, "validation")


def test_deliveries_come_in_pages(client: FlaskClient, db: Session) -> None:
    made = register(client, BEN)
    publish_check_in(count=5)
    outbox.fan_out(read_clock())
    path = f"/api/v1/endpoints/{made['id']}/deliveries"
    seen, before = [], ""
    while True:
        page = document(client.get(f"{path}?limit=2{before}", headers=ANA))
        seen += [one["id"] for one in page["deliveries"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    assert document(client.get(f"{path}?state=dead", headers=ANA))["deliveries"] == []


def test_a_disabled_endpoint_sends_nothing_again(client: FlaskClient, db: Session) -> None:
    made = register(client)
    publish_check_in()
    outbox.fan_out(read_clock())
    db.get_one(Endpoint, made["id"]).enabled = False
    db.commit()
    path = f"/api/v1/endpoints/{made['id']}/deliveries"
    (delivery,) = document(client.get(path, headers=ANA))["deliveries"]
    answer = client.post(f"{path}/{delivery['id']}/retry", headers=ANA)
    assert (answer.status_code, document(answer)["code"]) == (409, "endpoint_disabled")


def test_a_disabled_endpoint_is_enabled_and_told_all_since_a_time(client: FlaskClient, db: Session) -> None:
    made = register(client)
    publish_check_in(count=2)
    db.get_one(Endpoint, made["id"]).enabled = False
    db.commit()
    outbox.fan_out(read_clock())
    path, since = f"/api/v1/endpoints/{made['id']}", {"since": made["created_at"]}
    answer = client.post(f"{path}/replay", headers=ANA, json=since)
    assert (answer.status_code, document(answer)["code"]) == (409, "endpoint_disabled")
    assert document(client.post(f"{path}/enabling", headers=ANA))["enabled"] is True
    answer = client.post(f"{path}/replay", headers=ANA, json=since)
    assert (answer.status_code, document(answer)) == (202, {"deliveries": 2})
    assert len(document(client.get(f"{path}/deliveries", headers=ANA))["deliveries"]) == 2
    assert client.post(f"{path}/enabling", headers=CLEO).status_code == 404


def test_there_is_a_limit(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 1)
    register(client)
    assert refused(client, {"url": URL, "topics": ["checkin.created"]}) == (409, "endpoint_limit")
    register(client, BEN)


def test_every_door_says_who_may_come_in(app: APIFlask) -> None:
    views = {name: view for name, view in app.view_functions.items() if name.startswith(f"{bp.name}.")}
    assert len(views) == 10
    assert {getattr(view, "authentication", None) for view in views.values()} == {"organiser or programme"}


def test_repeated_topics_are_one(client: FlaskClient) -> None:
    assert register(client, topics=["stream.count", "checkin.created", "stream.count"])["topics"] == [
        "checkin.created",
        "stream.count",
    ]
