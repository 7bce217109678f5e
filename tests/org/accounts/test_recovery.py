"""The way back in: two administrators, the owner's code, and nothing left of before."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.accounts import attempts, factor, opening, recovery, sessions
from service.org.accounts.models import Recovery
from service.org.accounts.sessions import Terms, of_cookie, sign_in
from service.org.organisers import Organiser
from tests.factories import PASSWORD, make_organiser
from tests.org.accounts.conftest import NOW
from tests.org.accounts.people import cast

LATER = NOW + timedelta(minutes=5)
NEW = "a new password"


def login_of(organiser: Organiser) -> str:
    return sessions.login_of(organiser)


def test_two_administrators_let_the_owner_back_in(
    terms: Terms, set_up: Callable[[Organiser, datetime], Any], db: Session
) -> None:
    people = cast(NOW)
    set_up(people.li, NOW)
    login = login_of(people.li)
    for _ in range(attempts.FREE):
        with pytest.raises(ServiceError, match="login_failed"):
            sign_in(login, "wrong password", terms=terms, now=NOW)
    proposal = recovery.propose(people.sys, people.li.id, NOW)
    assert recovery.propose(people.sys, people.li.id, NOW).id == proposal.id
    assert [one.id for one in recovery.waiting(people.sec, NOW)] == [proposal.id]
    code = recovery.approve(people.sec, proposal.id, LATER)
    opened = sessions.recover(login, code=code, password=NEW, terms=terms, now=LATER)
    assert not factor.is_set_up(people.li.id)
    assert of_cookie(opened.cookie, terms=terms, now=LATER).id == people.li.id
    with pytest.raises(ServiceError, match="recovery_invalid"):
        sessions.recover(login, code=code, password=NEW, terms=terms, now=LATER)
    # The wait that the guesses earned is over, sessions of before are too.
    assert sign_in(login, NEW, terms=terms, now=LATER)
    assert recovery.waiting(people.sec, LATER) == []


def test_nobody_alone(terms: Terms) -> None:
    people = cast(NOW)
    proposal = recovery.propose(people.sys, people.li.id, NOW)
    for act, code in (
        (lambda: recovery.propose(people.li, people.sys.id, NOW), "not_found"),
        (lambda: recovery.propose(people.sys, people.sys.id, NOW), "forbidden"),
        (lambda: recovery.approve(people.sys, proposal.id, NOW), "not_found"),
        (lambda: recovery.approve(people.aud, proposal.id, NOW), "not_found"),
        (lambda: recovery.approve(people.sec, proposal.id + 1, NOW), "not_found"),
        (lambda: recovery.approve(people.sec, proposal.id, NOW + recovery.PROPOSAL), "not_found"),
    ):
        with pytest.raises(ServiceError, match=code):
            act()
    own = recovery.propose(people.sys, people.sec.id, NOW)
    with pytest.raises(ServiceError, match="forbidden"):
        recovery.approve(people.sec, own.id, NOW)
    recovery.approve(people.sec, proposal.id, NOW)
    with pytest.raises(ServiceError, match="conflict"):
        recovery.approve(people.sec, proposal.id, NOW)


def test_the_table_itself_wants_two_people(db: Session) -> None:
    people = cast(NOW)
    for proposed, approved in ((people.sys, people.sys), (people.li, people.sec), (people.sys, people.li)):
        row = {"organiser_id": people.li.id, "proposed_at": NOW, "expires_at": LATER, "closed_at": NOW}
        db.add(Recovery(**row, proposed_by=proposed.id, approved_by=approved.id))
        with pytest.raises(IntegrityError):
            db.flush()
        db.rollback()


def test_a_code_is_for_one_login_and_one_hour(terms: Terms) -> None:
    people = cast(NOW)
    other = login_of(make_organiser(now=NOW)[0])
    code = recovery.issue_now(people.li.id, NOW)
    late = NOW + timedelta(seconds=recovery.CODE_SECONDS)
    for login, given, when in ((other, code, NOW), (login_of(people.li), code, late), ("nobody", code, NOW)):
        with pytest.raises(ServiceError, match="recovery_invalid"):
            sessions.recover(login, code=given, password=NEW, terms=terms, now=when)
    with pytest.raises(ServiceError, match="validation"):
        sessions.recover(login_of(people.li), code=code, password="short", terms=terms, now=NOW)
    newer = recovery.issue_now(people.li.id, NOW)
    with pytest.raises(ServiceError, match="recovery_invalid"):
        sessions.recover(login_of(people.li), code=code, password=NEW, terms=terms, now=NOW)
    assert sessions.recover(login_of(people.li), code=newer, password=NEW, terms=terms, now=NOW)


def test_an_opened_account_has_no_password_and_no_grant(terms: Terms) -> None:
    people = cast(NOW)
    number, code = opening.open_account(people.sys, "new", name="王新", organisation_id=people.city.id, now=NOW)
    for guess in ("none", ""):
        with pytest.raises(ServiceError, match="login_failed"):
            sign_in("new", guess, terms=terms, now=NOW)
    organiser = sessions.recover("new", code=code, password=NEW, terms=terms, now=NOW).organiser
    assert (organiser.id, organiser.grants) == (number, ())
    with pytest.raises(ServiceError, match="not_found"):
        opening.open_account(people.li, "more", name="x", organisation_id=people.city.id, now=NOW)


def test_over_http(client: Any, db: Session) -> None:
    now = datetime.now().astimezone()
    people = cast(now)
    code = recovery.issue_now(people.li.id, now)
    body = {"login": login_of(people.li), "code": code, "password": NEW}
    refused = client.post("/api/v1/organisers/recovery", json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    assert client.post("/api/v1/organisers/recovery", json=body).status_code == 201
    assert client.get("/api/v1/organisers/me").json["id"] == people.li.id
    wrong = client.post("/api/v1/organisers/recovery", json=body)
    assert (wrong.status_code, wrong.json["code"]) == (403, "recovery_invalid")
    assert (
        client.post("/api/v1/organisers/sessions", json={"login": body["login"], "password": PASSWORD}).json["code"]
        == "login_failed"
    )
