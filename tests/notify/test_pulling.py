"""Events for who pulls: in the order of their positions, none left out, and only of the own part of the tree."""

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from service.clock import now as read_clock
from service.extensions import db as database
from service.notify import outbox, pulling
from service.notify.channels.webhook import subject
from service.notify.models import Outbox
from tests.notify.conftest import CAST
from tests.notify.factories import make_endpoint, publish_check_in

URL = "/api/v1/events"


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def asked(client: FlaskClient, who: str = "ana", **query: Any) -> Any:
    return client.get(URL, query_string=query, headers={"X-Test-Organiser": who})


def told(count: int = 1, **fields: Any) -> None:
    publish_check_in(count=count, **fields)
    outbox.fan_out(read_clock())


def test_only_what_happened_at_or_below_is_pulled(client: FlaskClient) -> None:
    told(path="1.12.345")
    told(path="1.123")
    assert len(asked(client, "ana").json["events"]) == 1
    assert len(asked(client, "ben").json["events"]) == 1
    assert len(asked(client, "cleo").json["events"]) == 1
    told(path="1.12")
    assert [len(asked(client, who).json["events"]) for who in ("ana", "ben", "cleo")] == [2, 1, 1]


def test_what_is_not_fanned_out_yet_waits(client: FlaskClient) -> None:
    publish_check_in()
    assert asked(client).json == {"events": [], "next": 0}


def test_an_event_is_as_webhooks_tell_it_with_the_subjects_of_ones_own_endpoint(client: FlaskClient) -> None:
    endpoint, _ = make_endpoint()
    others, _ = make_endpoint(organiser="cleo")
    told(member=4711)
    (plain,) = asked(client).json["events"]
    assert plain.keys() == {"position", "type", "timestamp", "data"}
    assert plain["data"].keys() == {"activity", "number"}
    (named,) = asked(client, endpoint=endpoint.id).json["events"]
    key = pulling._subject_key(endpoint.id, CAST["ana"])
    assert named["data"]["subject"] == subject(key, 4711)
    assert asked(client, endpoint=others.id).status_code == 404


def test_topics_can_be_chosen(client: FlaskClient) -> None:
    told()
    outbox.publish("stream.count", organisation_path="1.12", payload={"stream": 7})
    outbox.publish("endpoint.test", organisation_path="1.12", payload={"endpoint": 7})
    database.session.commit()
    outbox.fan_out(read_clock())
    assert [one["type"] for one in asked(client).json["events"]] == ["checkin.created", "stream.count"]
    assert [one["type"] for one in asked(client, topic="stream.count").json["events"]] == ["stream.count"]
    assert asked(client, topic="endpoint.test").status_code == 422


def test_next_moves_on_past_what_is_others(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "WINDOW", 3)
    told(count=7, path="1.123")
    told(path="1.12")
    after, found, answers = 0, 0, 0
    while not found:
        page = asked(client, after=after).json
        assert page["next"] > after
        after, found, answers = page["next"], len(page["events"]), answers + 1
    assert answers == 3
    assert asked(client, after=after).json == {"events": [], "next": after}


paths = st.sampled_from(["1.12", "1.12.345", "1.123"])


@given(st.lists(st.lists(paths, max_size=4), max_size=5), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_who_goes_on_after_next_misses_nothing_and_hears_nothing_twice(
    app: APIFlask, batches: list[list[str]], limit: int, window: int
) -> None:
    """While more is told between the questions."""
    database.session.execute(text("TRUNCATE outbox CASCADE"))
    database.session.commit()
    kept, pulling.WINDOW = pulling.WINDOW, window
    try:
        heard: list[int] = []
        after = None
        start = database.session.scalar(text("SELECT last_value FROM outbox_positions")) or 0
        after = start
        for batch in [*batches, *[[]] * 40]:
            for path in batch:
                publish_check_in(path=path)
            outbox.fan_out(read_clock(), batch=2)
            page = pulling.pull(CAST["ana"], after=after, limit=limit, topics=None, endpoint=None)
            assert len(page.events) <= limit
            heard += [event["position"] for event in page.events]
            after = page.next
    finally:
        pulling.WINDOW = kept
    rows = database.session.execute(select(Outbox.position, Outbox.organisation_paths).order_by(Outbox.position)).all()
    mine = [row.position for row in rows if row.organisation_paths[0] in ("1.12", "1.12.345") and row.position > start]
    assert heard == mine


def test_no_position_is_given_while_another_may_still_be_taken_back(app: APIFlask) -> None:
    """Else who reads on would miss the lower one, which is seen later."""
    publish_check_in(count=2)
    with database.engine.connect() as other:
        assert other.execute(outbox.ALONE).scalar()
        assert outbox.fan_out(read_clock()) == 0
        other.rollback()
    assert outbox.fan_out(read_clock()) == 2
