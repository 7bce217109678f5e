"""What is sent: the standard's known answer, neutral bodies, and what answers mean."""

import base64
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from service.notify.channels import webhook
from service.notify.channels.webhook import Message

NOW = datetime(2023, 9, 20, 1, 30, tzinfo=UTC)
MESSAGE = Message(
    id=uuid.UUID(int=7),
    topic="checkin.created",
    happened_at=NOW,
    payload={"activity": 5, "theme": "学习新思想"},
    subject_member=4711,
    url="http://127.0.0.1/hook",
    secret=b"s" * 32,
    subject_key=b"k" * 32,
)


def test_the_known_answer_of_standard_webhooks() -> None:
    signer = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    moment = datetime.fromtimestamp(1614265330, UTC)
    signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_our_headers_give_the_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Message, "webhook_id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = webhook.headers(
        replace(MESSAGE, secret=secret),
        content='{"test": 2432232314}',
        now=datetime.fromtimestamp(1614265330, UTC),
    )
    assert found["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert found["webhook-timestamp"] == "1614265330"
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_later_attempt_has_the_same_id_and_a_new_timestamp() -> None:
    content = webhook.body(MESSAGE)
    first = webhook.headers(MESSAGE, content=content, now=NOW)
    later = webhook.headers(MESSAGE, content=content, now=NOW + timedelta(hours=6))
    assert first["webhook-id"] == later["webhook-id"]
    assert first["webhook-timestamp"] != later["webhook-timestamp"]
    assert first["webhook-signature"] != later["webhook-signature"]


def test_the_body_names_nobody() -> None:
    content = webhook.body(MESSAGE)
    assert content.startswith('{"type":"checkin.created","timestamp":"2023-09-20T01:30:00.000Z","data":{')
    assert "学习新思想" in content
    assert "4711" not in content


def test_without_a_subject_there_is_none() -> None:
    assert "subject" not in webhook.body(replace(MESSAGE, subject_member=None))


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_subjects_are_stable_distinct_and_of_the_endpoint_only(one: int, other: int) -> None:
    here, there = b"a" * 32, b"b" * 32
    assert webhook.subject(here, one) == webhook.subject(here, one)
    assert (webhook.subject(here, one) == webhook.subject(here, other)) == (one == other)
    assert webhook.subject(here, one) != webhook.subject(there, one)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (204, None),
        (299, None),
        (301, "redirect"),
        (308, "redirect"),
        (304, "redirect"),
        (400, "status"),
        (404, "status"),
        (410, "gone"),
        (429, "status"),
        (500, "status"),
    ],
)
def test_only_2xx_is_success(status: int, error: str | None) -> None:
    assert webhook.judge(status, "", NOW).error == error


def test_retry_after_in_both_forms() -> None:
    assert webhook.seconds_to_wait("120", NOW) == 120
    assert webhook.seconds_to_wait(format_datetime(NOW + timedelta(minutes=5), usegmt=True), NOW) == 300
    assert webhook.seconds_to_wait(format_datetime(NOW - timedelta(minutes=5), usegmt=True), NOW) == 0


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1e9", "٣", "Wed, 99 Foo 2023", "Wed, 20 Sep 2023 01:31:00", "9" * 400]
)
def test_retry_after_that_makes_no_sense_never_hurts(text: str) -> None:
    assert 0 <= webhook.seconds_to_wait(text, NOW) <= 10_000_000


@given(st.text())
def test_any_retry_after_is_read_without_fear(text: str) -> None:
    assert webhook.seconds_to_wait(text, NOW) >= 0
