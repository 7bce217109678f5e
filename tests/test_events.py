"""The catalogue of events says what is really told, and the documents say what the catalogue does."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session

from service.activity import rules as activities
from service.checkin.annulling import undo
from service.checkin.records import Attempt
from service.checkin.rules import check_in
from service.live.curves import announce
from service.live.figures import Snapshot
from service.notify import endpoints
from service.notify.catalogue import CATALOGUE, asyncapi, message_schema
from service.notify.channels.webhook import Message, body
from service.notify.models import Outbox
from service.notify.outbox import TOPICS
from tests.factories import HOUR, make_activity, make_member, make_organisation, make_organiser

DOCS = Path(__file__).parent.parent / "docs"
NOW = datetime(2026, 9, 20, 9, 0, tzinfo=UTC)


def snapshot(stream: int, as_of: datetime) -> Snapshot:
    return Snapshot(
        stream=stream, epoch="e", seq=1, as_of=as_of, reason=None, in_doubt=0, online=3, connections=4, joined=5,
        checked_in=2, peak=5, peak_at=None, organisations={}, places={}, channels={}, sources={},
    )  # fmt: skip


@pytest.fixture
def told(db: Session, valkey: redis.Redis) -> list[Outbox]:
    """One event of each topic and two of a stream, as the rooms themselves tell them."""
    city = make_organisation(level="city")
    activity = make_activity(lead=city, now=NOW, opens=timedelta(0), closes=HOUR)
    activities.announce(NOW)
    member = make_member(organisation=city)
    attempt = Attempt(member=member.id, organisation=city.path, place="54.5401", reference="reference-1")
    check_in(activity.id, [attempt], NOW)
    undo(activity.id, member.id, attempt.reference, NOW)
    stream = activity.sittings[0].streams[0].id
    for later in (0, 5):
        announce(snapshot(stream, NOW + timedelta(seconds=later)))
    organiser = make_organiser(organisation=city)[0]
    endpoint, _ = endpoints.register(
        organiser, url="https://example.org/", topics=["stream.count"], secret="s" * 32, private=False
    )
    endpoints.send_test(endpoint, now=NOW)
    return list(db.query(Outbox).order_by(Outbox.id))


def sent(event: Outbox) -> Any:
    """The body that a receiver gets."""
    message = Message(
        id=uuid.uuid4(), topic=event.topic, happened_at=NOW, payload=event.payload,
        subject_member=event.subject_member, url="", secret=b"s" * 32, subject_key=b"k" * 32,
    )  # fmt: skip
    return json.loads(body(message))


def test_every_event_is_as_the_catalogue_says(told: list[Outbox]) -> None:
    assert {event.topic for event in told} == set(CATALOGUE) == set(TOPICS)
    for event in told:
        whole, entry = sent(event), CATALOGUE[event.topic]
        Draft202012Validator(message_schema(event.topic), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
            whole
        )
        assert whole["data"].keys() == entry.data.keys() | ({"subject"} if entry.subject else set())


def test_a_streams_events_have_an_order(told: list[Outbox]) -> None:
    counts = [event.payload for event in told if event.topic == "stream.count"]
    key = CATALOGUE["stream.count"].order
    assert key is not None
    assert len({count[key] for count in counts}) == 1
    assert [count["sequence"] for count in counts] == sorted({count["sequence"] for count in counts})


def test_the_documents_are_the_catalogues() -> None:
    # Made by: chunshui events > docs/asyncapi.json
    assert json.loads((DOCS / "asyncapi.json").read_text()) == asyncapi()
    page = (DOCS / "events.md").read_text()
    for topic, entry in CATALOGUE.items():
        assert f"## `{topic}`" in page
        section = page.split(f"## `{topic}`")[1].split("\n## ")[0]
        assert entry.when.rstrip(".") in section
        assert [name for name in entry.data if f"| `{name}` |" not in section] == []
