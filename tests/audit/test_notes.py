"""Noting: in the caller's transaction, without names, one note a call."""

from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit
from service.audit import anchors, chain
from service.audit.models import Entry, Note
from service.audit.notes import pseudonym, pseudonyms
from service.config import Config
from service.extensions import db as database
from tests.audit.conftest import NOW, noted
from tests.concurrency import really_committed

ANA = audit.Party("member", 17)


def test_a_note_lives_and_dies_with_the_callers_transaction(db: Session) -> None:
    audit.note("login", actor=ANA, now=NOW)
    db.rollback()
    assert db.query(Note).count() == 0
    audit.note("login", actor=ANA, now=NOW)
    db.commit()
    assert db.query(Note).count() == 1


def test_a_note_holds_pseudonyms_that_the_key_leads_to(db: Session, config: Config) -> None:
    audit.note("plaintext.read", actor=audit.Party("organiser", 17), subject=ANA, now=NOW, details={"field": "phone"})
    [note] = db.scalars(select(Note))
    assert note.subject == pseudonym(ANA, config)
    assert "17" not in (note.actor.split(":")[0], note.actor.split(":")[1])
    assert note.actor.split(":")[1] != note.subject.split(":")[1]
    assert pseudonym(ANA, Config(**vars(config) | {"audit_key": "k" * 32})) != note.subject


def test_who_someone_was_is_found_after_a_change_of_the_key(config: Config) -> None:
    renewed = Config(**vars(config) | {"audit_key": "k" * 32})
    assert pseudonym(ANA, config) in pseudonyms(ANA, renewed)


def test_the_system_needs_no_pseudonym(db: Session) -> None:
    audit.note("audit.pruned", actor=audit.SYSTEM, now=NOW)
    assert db.scalars(select(Note.actor)).one() == "system"


@pytest.mark.parametrize(
    "wrong",
    [{"event": "gossip"}, {"outcome": "perhaps"}, {"details": {"phone": "13800000000"}}, {"details": {"rate": 0.5}}],
)
def test_what_may_not_be_noted(db: Session, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown|details"):
        audit.note(wrong.pop("event", "login"), actor=ANA, now=NOW, **wrong)


def test_notes_move_into_the_chain_in_their_order(db: Session) -> None:
    noted(3)
    noted(2)
    assert db.query(Note).count() == 0
    assert list(db.scalars(select(Entry.position).order_by(Entry.position))) == [1, 2, 3, 4, 5]


def test_nobody_waits_for_anybody(app: APIFlask, valkey: object) -> None:
    """A slow transaction delays neither other notes nor the chain; its own note is chained later."""
    with really_committed():
        with app.app_context():
            audit.note("login", actor=ANA, now=NOW)
            with app.app_context():
                audit.note("logout", actor=ANA, now=NOW)
                database.session.commit()
                assert chain.seal(NOW) == 1
            database.session.commit()
        assert chain.seal(NOW) == 1
        events = database.session.scalars(select(Entry.event).order_by(Entry.position)).all()
        assert events == ["logout", "login"]


def test_one_worker_at_a_time_adds_to_the_chain(app: APIFlask, valkey: object) -> None:
    with really_committed():
        audit.note("login", actor=ANA, now=NOW)
        database.session.commit()
        with app.app_context():
            assert chain.held()
            with app.app_context():
                assert chain.seal(NOW) == 0
                assert anchors.anchor(NOW) is None
        assert chain.seal(NOW) == 1
