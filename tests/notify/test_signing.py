"""Secrets and their rotation; the reference library and another receiver believe what is signed, and no more."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from service.extensions import db as database
from service.notify import endpoints
from service.notify.channels import signing, webhook
from service.notify.courier import Courier
from service.notify.models import Endpoint
from service.notify.views import shown_secret
from service.sandbox.hooks import Hooks
from tests.notify.conftest import configured
from tests.notify.factories import all_deliveries, make_endpoint, publish_check_in
from tests.notify.receiver import Receiver, Reply
from tests.notify.test_views import ANA, CLEO, document, register
from tests.notify.test_webhook import MESSAGE

NOW = datetime.now(UTC)
OVERLAP = signing.OVERLAP


@given(st.integers(0, 10), st.floats(0, 20))
def test_two_secrets_at_most_are_good_and_the_newest_always(rotations: int, days: float) -> None:
    kept, now = signing.fresh(), NOW
    for _ in range(rotations):
        before = signing.current(kept)
        kept = signing.rotated(kept, now)
        assert signing.valid(kept, now) == [signing.current(kept), before]
    later = now + timedelta(days=days)
    good = signing.valid(kept, later)
    assert good[0] == signing.current(kept)
    assert len(good) == (2 if rotations and later < now + OVERLAP - timedelta(seconds=1) else len(good))
    if later > now + OVERLAP:
        assert len(good) == 1


def signed(secret: bytes, now: datetime = NOW, **changes: Any) -> tuple[dict[str, str], bytes]:
    message = replace(MESSAGE, id=uuid.uuid4(), secret=secret, **changes)
    content = webhook.body(message)
    return webhook.headers(message, content=content, now=now), content.encode()


def believed(secret: bytes, headers: dict[str, str], body: bytes) -> bool:
    """Whether both the library and the sandbox's receiver take it; they must agree."""
    ours = Hooks([shown_secret(secret)], NOW.timestamp).refusal(headers, body) is None
    try:
        # The library reads the clock itself; NOW is as old as the run by then.
        with time_machine.travel(NOW, tick=False):
            Webhook(secret).verify(body, headers)
        theirs = True
    except (WebhookVerificationError, UnicodeDecodeError):
        theirs = False
    assert ours is theirs
    return ours


def test_during_a_rotation_who_holds_either_secret_believes() -> None:
    old = signing.fresh()
    kept = signing.rotated(old, NOW)
    headers, body = signed(kept)
    assert len(headers["webhook-signature"].split()) == 2
    assert [believed(secret, headers, body) for secret in (old, signing.current(kept), signing.fresh())] == [
        True, True, False,
    ]  # fmt: skip
    ended = signing.rotated(old, NOW - OVERLAP)
    headers, body = signed(ended)
    assert [believed(secret, headers, body) for secret in (old, signing.current(ended))] == [False, True]


@given(st.integers(0, 1000), st.integers(1, 255))
def test_what_was_tampered_with_is_believed_by_nobody(place: int, change: int) -> None:
    secret = b"s" * 32
    headers, body = signed(secret)
    touched = bytearray(body)
    touched[place % len(body)] ^= change
    assert believed(secret, headers, body)
    assert not believed(secret, headers, bytes(touched))


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-timestamp": "x"},
        {"webhook-timestamp": ""},
        {"webhook-id": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v2,AAAA"},
    ],
)
def test_what_is_signed_wrongly_is_believed_by_nobody(changes: dict[str, str]) -> None:
    headers, body = signed(b"s" * 32)
    assert not believed(b"s" * 32, headers | changes, body)


@pytest.mark.parametrize("age", [timedelta(minutes=-6), timedelta(minutes=6), timedelta(days=1)])
def test_what_is_old_or_of_the_future_is_believed_by_nobody(age: timedelta) -> None:
    headers, body = signed(b"s" * 32, NOW - age)
    assert not believed(b"s" * 32, headers, body)


def test_the_receiver_takes_an_event_once() -> None:
    headers, body = signed(b"s" * 32)
    hooks = Hooks([shown_secret(b"s" * 32)], NOW.timestamp)
    assert [hooks.take(headers, body).status for _ in range(2)] == [200, 200]
    assert list(hooks.taken) == [json.loads(body)]
    assert hooks.take(headers, body + b" ").status == 401


def test_a_secret_is_rotated_between_two_deliveries(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    client = app.test_client()
    made = register(client, url=receiver.url)
    answer = client.post(f"/api/v1/endpoints/{made['id']}/secrets", headers=ANA)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    fresh = document(answer)["secret"]
    assert fresh != made["secret"]
    publish_check_in()
    courier(app)
    (arrival,) = receiver.arrivals
    assert arrival.verified(made["secret"]) == arrival.verified(fresh) == arrival.body
    assert client.post(f"/api/v1/endpoints/{made['id']}/secrets", headers=CLEO).status_code == 404


def test_a_rotated_secret_is_sealed_anew_with_the_one_before_it(app: APIFlask) -> None:
    endpoint, shown = make_endpoint()
    key = app.config["CHUNSHUI"].secret_key
    fresh, _ = endpoints.rotate(endpoint, secrets=(key,), now=NOW)
    assert endpoints.reseal(("n" * 32, key)) == 1
    (address,) = endpoints.addresses({endpoint.id}, secrets=("n" * 32,)).values()
    assert [shown_secret(one) for one in signing.valid(address.secret, NOW)] == [shown_secret(fresh), shown]


def test_a_secret_that_cannot_be_opened_cannot_be_rotated(app: APIFlask) -> None:
    endpoint, _ = make_endpoint()
    configured(app, secret_key="another key than before, 32 characters")
    answer = app.test_client().post(f"/api/v1/endpoints/{endpoint.id}/secrets", headers=ANA)
    assert (answer.status_code, document(answer)["code"]) == (409, "endpoint_sealed")


def test_a_test_event_goes_to_its_endpoint_alone(
    app: APIFlask, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    client = app.test_client()
    made, _ = register(client, url=receiver.url), register(client, url=other_receiver.url)
    receiver.reply = lambda _: Reply(200 if len(receiver.arrivals) > 1 else 503)
    answer = client.post(f"/api/v1/endpoints/{made['id']}/test", headers=ANA)
    assert (answer.status_code, document(answer)["topic"], document(answer)["state"]) == (
        202,
        "endpoint.test",
        "pending",
    )
    courier(app)
    assert [one.body["type"] for one in receiver.arrivals] == ["endpoint.test"] * len(receiver.arrivals)
    assert receiver.arrivals[0].verified(made["secret"])["data"] == {"endpoint": made["id"]}
    assert other_receiver.arrivals == []
    (delivery,) = all_deliveries()
    again = f"/api/v1/endpoints/{made['id']}/deliveries/{delivery.id}/retry"
    assert client.post(again, headers=ANA).status_code == 202


def test_a_disabled_endpoint_is_not_tried(app: APIFlask) -> None:
    endpoint, _ = make_endpoint()
    found = database.session.get(Endpoint, endpoint.id)
    assert found is not None
    found.enabled = False
    database.session.commit()
    client = app.test_client()
    assert client.post(f"/api/v1/endpoints/{endpoint.id}/test", headers=ANA).status_code == 409
    assert client.post(f"/api/v1/endpoints/{endpoint.id}/test", headers=CLEO).status_code == 404


def test_nobody_listens_to_tests(app: APIFlask) -> None:
    body = {"url": "https://example.org/hook", "topics": ["endpoint.test"]}
    assert app.test_client().post("/api/v1/endpoints", json=body, headers=ANA).status_code == 422
