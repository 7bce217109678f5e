"""Errands: a table is compared, seen, applied once; sealed, scoped, noted, and gone in time."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy.orm import Session

from service.audit.models import Note
from service.extensions import db as database
from service.org.accounts import grants
from service.org.errands import pieces, rules, work
from service.org.errands.models import Errand, ErrandPiece
from service.org.errands.rules import Wish
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.org.people.models import SealedNumber
from tests.concurrency import at_once, really_committed
from tests.factories import make_organisation, make_organiser
from tests.org.errands.steps import (
    HEADINGS,
    NOW,
    applied,
    compared,
    enrolled_meanwhile,
    exported,
    lines,
    refused,
    roster,
    sent,
)
from tests.org.people.conftest import phone_of

HOUR = timedelta(hours=1)


def test_nothing_is_written_before_what_was_seen_is_accepted(
    db: Session, organiser: Organiser, branch: Organisation
) -> None:
    errand = compared(organiser, roster(branch, 2, 3) + b"x,1,2,3\n")
    assert (errand.state, errand.counts) == ("compared", {"added": 2, "refused": 1})
    assert db.query(Member).count() == 0
    assert not work.work_once(NOW)
    assert [one["row"] for one in rules.differences(errand.id, organiser)] == [4]
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)
    assert work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.counts) == ("applied", {"added": 2, "refused": 1})
    assert db.query(Member).count() == 2
    assert not work.work_once(NOW)


def test_every_row_has_a_fate_in_the_report(organiser: Organiser, branch: Organisation) -> None:
    errand = applied(organiser, roster(branch, 2, 3))
    first, second, third = lines(organiser, errand)
    assert first == "row,fate,member,details"
    assert second.startswith("2,added,")
    assert third.split(",")[2].isdigit()


def test_only_the_outcome_that_was_seen_is_applied(db: Session, organiser: Organiser, branch: Organisation) -> None:
    errand = compared(organiser, roster(branch, 2))
    with refused("conflict"):
        rules.accept(errand.id, organiser, "0" * 64, NOW)
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)
    seen = errand.outcome
    other = make_organiser(organisation=organiser_home(organiser))[0]
    enrolled_meanwhile(branch, 2)
    work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.outcome) == ("waiting", None)
    assert errand.failure is not None
    assert errand.failure["code"] == "conflict"
    with refused("conflict"):
        rules.accept(errand.id, other, str(seen), NOW)
    assert work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.counts) == ("compared", {"changed": 1})


def organiser_home(organiser: Organiser) -> Organisation:
    return database.session.get_one(Organisation, organiser.organisation_id)


def test_accepting_again_changes_nothing(db: Session, organiser: Organiser, branch: Organisation) -> None:
    errand = applied(organiser, roster(branch, 2))
    assert rules.accept(errand.id, organiser, str(errand.outcome), NOW).state == "applied"
    assert not work.work_once(NOW)
    assert db.query(Member).count() == 1


def test_the_same_table_is_the_same_errand_while_it_is_open(
    db: Session, organiser: Organiser, branch: Organisation
) -> None:
    table = roster(branch, 2)
    first = sent(organiser, table)
    assert sent(organiser, table).id == first.id
    assert sent(organiser, roster(branch, 3)).id != first.id
    assert db.query(ErrandPiece).filter_by(errand_id=first.id).count() == 1
    rules.call_off(first.id, organiser, NOW)
    assert sent(organiser, table).id != first.id


def test_what_was_sent_is_nowhere_in_the_clear_and_gone_when_it_is_done(
    db: Session, organiser: Organiser, branch: Organisation
) -> None:
    errand = compared(organiser, roster(branch, 2))
    held = db.query(ErrandPiece).filter_by(errand_id=errand.id).all()
    assert {one.part for one in held} == {"upload", "report", "differences"}
    assert not any(phone_of(2).encode() in one.ciphertext or "党员".encode() in one.ciphertext for one in held)
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)
    work.work_once(NOW)
    db.expire_all()
    assert {one.part for one in db.query(ErrandPiece).all()} == {"report", "differences"}


def test_a_piece_opens_at_its_place_only(db: Session, organiser: Organiser) -> None:
    errand = sent(organiser, b"x" * pieces.PIECE_BYTES + b"y")
    assert b"".join(pieces.opened(errand.id, "upload"))[-2:] == b"xy"
    first, second = db.query(ErrandPiece).order_by(ErrandPiece.place).all()
    first.ciphertext, second.ciphertext = second.ciphertext, first.ciphertext
    db.commit()
    assert work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.failure) == ("failed", {"code": "sheet_unreadable", "reason": "sealed"})


def test_what_no_key_opens_any_more_is_gone(db: Session, organiser: Organiser, branch: Organisation) -> None:
    errand = applied(organiser, roster(branch, 2))
    for piece in db.query(ErrandPiece):
        piece.ciphertext = b"sealed by another key"
    db.commit()
    for ask in (rules.differences, partial(rules.fetched, now=NOW)):
        with refused("not_found"):
            ask(errand.id, organiser)


def test_what_cannot_be_read_says_why(db: Session, organiser: Organiser) -> None:
    errand = compared(organiser, "姓名,电话\n甲,1\n".encode())
    assert errand.state == "failed"
    assert errand.failure == {"code": "sheet_columns", "missing": ["organisation"], "repeated": [], "row": 1}
    assert db.query(ErrandPiece).count() == 0


def test_what_ends_the_worker_every_time_is_given_up(
    db: Session, organiser: Organiser, branch: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    errand = sent(organiser, roster(branch, 2))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("service.org.errands.subjects.compared", broken)
    for _ in range(work.MOST_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            work.work_once(NOW)
    assert work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.failure) == ("failed", {"code": "internal"})


def test_who_is_beyond_the_organisers_reach_is_not_touched(
    db: Session, organiser: Organiser, branch: Organisation
) -> None:
    elsewhere = make_organisation()
    enrolled_meanwhile(elsewhere, 3)
    errand = applied(organiser, roster(branch, 2, 3) + roster(elsewhere, 4).removeprefix(HEADINGS.encode()))
    assert errand.counts == {"added": 1, "refused": 2}
    assert "member is elsewhere" in lines(organiser, errand)[2]
    with refused("not_found"):
        wish = Wish(subject="roster", organisation_id=elsewhere.id, language="zh")
        rules.send_in(wish, organiser, [b"x"], NOW)
    stranger = make_organiser(organisation=elsewhere)[0]
    for ask in (rules.find, rules.differences, partial(rules.fetched, now=NOW), partial(rules.call_off, now=NOW)):
        with refused("not_found"):
            ask(errand.id, stranger)
    with refused("not_found"):
        rules.accept(errand.id, stranger, str(errand.outcome), NOW)
    assert rules.visible(stranger) == []


def test_who_lost_the_grant_meanwhile_has_nothing_applied(
    db: Session, organiser: Organiser, branch: Organisation, city: Organisation
) -> None:
    errand = compared(organiser, roster(branch, 2))
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)
    granter = make_organiser(organisation=city, role="security_administrator")[0]
    for grant in grants.of_account(granter, organiser.id):
        grants.revoke(granter, grant.id, NOW)
    work.work_once(NOW)
    db.refresh(errand)
    assert (errand.state, errand.failure) == ("failed", {"code": "forbidden"})
    assert db.query(Member).count() == 0


def test_calling_off_throws_everything_away(db: Session, organiser: Organiser, branch: Organisation) -> None:
    errand = compared(organiser, roster(branch, 2))
    for _ in range(2):
        assert rules.call_off(errand.id, organiser, NOW).state == "withdrawn"
    assert db.query(ErrandPiece).count() == 0
    with refused("conflict"):
        rules.accept(errand.id, organiser, str(errand.outcome), NOW)


def test_what_is_called_off_while_it_is_applied_is_not_written(
    db: Session, organiser: Organiser, branch: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    errand = compared(organiser, roster(branch, 2))
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)

    def meanwhile(number: int, found: Any, now: datetime) -> None:
        errand.state = "withdrawn"
        db.flush()
        enter(number, found, now)

    enter = work.enter
    monkeypatch.setattr(work, "enter", meanwhile)
    work.work_once(NOW)
    assert db.query(Member).count() == 0


def test_nobodys_word_and_old_results_are_swept_away(db: Session, organiser: Organiser, branch: Organisation) -> None:
    waiting, done = compared(organiser, roster(branch, 2)), applied(organiser, roster(branch, 3))
    assert rules.sweep(NOW + rules.WAITS - HOUR) == 0
    assert rules.sweep(NOW + rules.WAITS) == 1
    assert (waiting.state, db.query(ErrandPiece).filter_by(errand_id=waiting.id).count()) == ("expired", 0)
    assert lines(organiser, done)
    rules.sweep(NOW + rules.KEPT)
    db.expire_all()
    assert {one.id for one in db.query(Errand).all()} == {waiting.id}
    rules.sweep(NOW + rules.WAITS + rules.KEPT)
    assert (db.query(Errand).count(), db.query(ErrandPiece).count()) == (0, 0)


def test_no_more_than_a_bounded_number_is_open(
    organiser: Organiser, branch: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_OPEN", 2)
    for number in (1, 2):
        sent(organiser, roster(branch, number))
    with refused("errand_limit"):
        sent(organiser, roster(branch, 3))
    assert sent(organiser, roster(branch, 1)).state == "waiting"


def test_too_much_is_refused_before_it_is_kept(
    db: Session, organiser: Organiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_BYTES", 10)
    for table, code in ((b"x" * 11, "body_too_large"), (b"", "validation")):
        with refused(code):
            sent(organiser, table)
    assert db.query(Errand).count() == 0


def test_bringing_in_and_taking_along_are_noted(db: Session, organiser: Organiser, branch: Organisation) -> None:
    errand = applied(organiser, roster(branch, 2))
    lines(organiser, errand)
    made = exported(organiser, "roster", "csv")
    told = [(one.event, one.details["what"], one.details.get("step")) for one in noted(db)]
    assert told == [
        ("data.imported", "roster", "received"),
        ("data.imported", "roster", "applied"),
        ("data.exported", "report", None),
        ("data.exported", "roster", None),
    ]
    assert {one.details["label"] for one in noted(db)} == {"sensitive"}
    assert noted(db)[1].details["added"] == 1
    assert made.counts == {"rows": 1}


def noted(db: Session) -> list[Note]:
    return db.query(Note).filter(Note.event.like("data.%")).order_by(Note.id).all()


def test_a_worker_that_is_killed_leaves_its_errand_to_the_next(app: APIFlask) -> None:
    """Two workers at once do it once; what one has left begun is begun anew."""
    import threading

    app.extensions["stopping"] = threading.Event()
    with really_committed():
        branch = make_organisation()
        organiser = make_organiser(organisation=branch)[0]
        errand = sent(organiser, roster(branch, 2, 3))
        errand.attempts = 1  # begun, and left
        number = errand.id
        database.session.commit()
        results = at_once(app, [partial(work.run, app)] * 3)
        assert results == [None] * 3
        errand = database.session.get_one(Errand, number)
        assert (errand.state, errand.attempts) == ("compared", 2)
        rules.accept(number, organiser, str(errand.outcome), NOW)
        at_once(app, [partial(work.run, app)] * 3)
        database.session.expire_all()
        assert database.session.get_one(Errand, number).state == "applied"
        assert database.session.query(Member).count() == 2
        assert database.session.query(SealedNumber).count() == 4
