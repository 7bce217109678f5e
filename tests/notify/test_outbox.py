"""The outbox: in the caller's transaction, and to those who listen."""

from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.clock import now as read_clock
from service.extensions import db as database
from service.notify import outbox
from service.notify.channels.webhook import REASONS
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.outbox import Event
from tests.notify.factories import make_endpoint, publish_check_in


def told() -> list[int]:
    """The endpoints that got a delivery, in order."""
    outbox.fan_out(read_clock())
    return list(database.session.scalars(select(Delivery.endpoint_id).order_by(Delivery.endpoint_id)))


def test_a_row_lives_and_dies_with_the_callers_transaction(app: APIFlask, db: Session) -> None:
    payload = {"stream": 7, "count": 3}
    outbox.publish("stream.count", organisation_path="1.12", payload=payload)
    db.rollback()
    assert not db.scalars(select(Outbox)).all()
    outbox.publish("stream.count", organisation_path="1.12", payload=payload)
    db.commit()
    assert [event.payload for event in db.scalars(select(Outbox))] == [payload]


def test_publishing_does_not_commit(app: APIFlask) -> None:
    outbox.publish("stream.count", organisation_path="1", payload={})
    with database.engine.connect() as elsewhere:
        assert not elsewhere.execute(select(Outbox.id)).all()
    database.session.commit()
    with database.engine.connect() as elsewhere:
        assert len(elsewhere.execute(select(Outbox.id)).all()) == 1


def test_the_organisation_and_its_ancestors_are_told(db: Session) -> None:
    """Ana is at 1.12, Ben at 1.12.345; Cleo's 1.123 only begins alike."""
    ana, ben, cleo = (make_endpoint(organiser=name)[0].id for name in ("ana", "ben", "cleo"))
    publish_check_in(path="1.12.345.6")
    assert told() == [ana, ben]
    publish_check_in(path="1.12")
    assert told() == [ana, ana, ben]
    publish_check_in(path="1.123.4")
    assert told() == [ana, ana, ben, cleo]


def test_several_organisations_are_one_event(db: Session) -> None:
    ana, ben, cleo = (make_endpoint(organiser=name)[0].id for name in ("ana", "ben", "cleo"))
    outbox.publish("activity.opened", organisation_path=["1.12.345", "1.12.346", "1.123"], payload={"activity": 1})
    assert told() == [ana, ben, cleo]


def test_only_the_topics_that_were_asked_for(db: Session) -> None:
    make_endpoint(topics=["activity.opened"])
    publish_check_in()
    assert told() == []


def test_a_disabled_endpoint_is_not_told(db: Session) -> None:
    endpoint, _ = make_endpoint()
    endpoint.enabled = False
    publish_check_in()
    assert told() == []


def test_fanning_out_twice_tells_once(db: Session) -> None:
    endpoint, _ = make_endpoint()
    publish_check_in()
    assert outbox.fan_out(read_clock()) == 1
    assert outbox.fan_out(read_clock()) == 0
    db.query(Outbox).update({"fanned_out_at": None})
    assert told() == [endpoint.id]


def test_who_registers_later_hears_nothing_of_before(db: Session) -> None:
    publish_check_in()
    assert told() == []
    make_endpoint()
    assert told() == []


def test_a_batch_is_bounded(db: Session) -> None:
    publish_check_in(count=5)
    assert [outbox.fan_out(read_clock(), batch=2) for _ in range(4)] == [2, 2, 1, 0]


def test_each_topic_has_its_life(db: Session) -> None:
    make_endpoint()
    outbox.publish("stream.count", organisation_path="1.12", payload={"stream": 7})
    publish_check_in()
    now = read_clock()
    outbox.fan_out(now)
    lives = [delivery.give_up_at - now for delivery in db.scalars(select(Delivery).order_by(Delivery.outbox_id))]
    assert lives == [outbox.TOPICS["stream.count"], outbox.TOPICS["checkin.created"]]


def test_publishing_nothing_is_quiet(db: Session) -> None:
    outbox.publish_many([])
    assert not db.scalars(select(Outbox)).all()


@pytest.mark.parametrize("name", sorted(outbox.PERSONAL))
def test_a_payload_that_names_a_person_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Event(topic="checkin.created", organisation_path="1", payload={name: "x"})


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown topic"):
        Event(topic="checkin.crated", organisation_path="1", payload={})


def test_the_secret_rests_sealed(db: Session) -> None:
    _, secret = make_endpoint()
    row = db.scalars(select(Endpoint)).one()
    assert secret.removeprefix("whsec_").encode() not in row.secret_ciphertext
    assert row.secret_ciphertext[8:] != row.subject_key_ciphertext[8:]


def test_every_topic_and_every_reason_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    words = [*outbox.TOPICS, *(word for _, word in REASONS), "status", "redirect", "gone", "expired", "secret"]
    assert [word for word in words if f"`{word}`" not in page] == []
