"""What an organiser is refused is in the audit log: who, where, of what; bounded, so that nobody floods it."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service import audit
from service.audit.models import Note
from service.audit.notes import pseudonym
from service.config import Config
from service.errors import ServiceError
from service.org import refusals
from service.org.access import COOKIE
from service.org.models import Member
from service.org.organisers import Organiser
from service.org.refusals import Refusals
from tests.factories import make_member, make_organisation, make_organiser

API = "/api/v1"
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def organiser(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Organiser:
    found, cookie = make_organiser()
    client.set_cookie(COOKIE, cookie)
    # Other tests' accounts have the same numbers.
    fresh = Refusals()
    from service.org.access import note_refusal

    monkeypatch.setitem(client.application.extensions, "refused", lambda refusal: note_refusal(fresh, refusal))
    return found


def noted(db: Session) -> list[Note]:
    return db.query(Note).filter_by(event="access.refused").order_by(Note.id).all()


def test_who_asks_for_what_is_not_his_is_noted_with_what_he_asked_for(
    client: FlaskClient, db: Session, organiser: Organiser, config: Config
) -> None:
    member, elsewhere = make_member(), make_organisation()
    assert client.get(f"{API}/members/{member.id}").status_code == 404
    assert client.patch(f"{API}/members/{member.id}", json={"name": "改名"}).status_code == 404
    assert client.get(f"{API}/organisations/{elsewhere.id}").status_code == 404
    assert client.get(f"{API}/accounts").status_code == 403
    who, whom = (pseudonym(audit.Party(*one), config) for one in (("organiser", organiser.id), ("member", member.id)))
    assert [(one.actor, one.subject, one.outcome, one.details) for one in noted(db)] == [
        (who, whom, "refused", {"door": "people.show", "code": "not_found"}),
        (who, whom, "refused", {"door": "people.edit", "code": "not_found"}),
        (who, None, "refused", {"door": "tree.show", "code": "not_found", "thing": elsewhere.id}),
        (who, None, "refused", {"door": "accounts.accounts", "code": "forbidden"}),
    ]
    assert db.get_one(Member, member.id).name != "改名"


def test_what_is_granted_or_malformed_is_not_noted(client: FlaskClient, db: Session, organiser: Organiser) -> None:
    assert client.get(f"{API}/organisations/{organiser.organisation_id}").status_code == 200
    assert client.post(f"{API}/organisations", json={}).status_code == 422
    client.delete_cookie(COOKIE)
    assert client.get(f"{API}/organisations/1").status_code == 401
    assert noted(db) == []


def ask(watch: Refusals, organiser: int, now: datetime = NOW, code: str = "not_found") -> None:
    watch.note(ServiceError(code), organiser, door="x", subject=None, thing=None, now=now)


def test_nobody_floods_the_log_nor_hides_that_he_tried(db: Session) -> None:
    watch = Refusals(most=3)
    for _ in range(9):
        ask(watch, 1)
    ask(watch, 2)
    ask(watch, 1, NOW + HOUR - timedelta(seconds=1))
    assert [one.details.get("more") for one in noted(db)] == [None, None, True, None]
    ask(watch, 1, NOW + HOUR)
    ask(watch, 1, NOW + HOUR)
    assert [one.details.get("left_out") for one in noted(db)[4:]] == [7, None]


def test_only_refusals_of_access_are_noted(db: Session) -> None:
    for code in ("conflict", "validation", "second_factor_missing"):
        ask(Refusals(), 1, code=code)
    assert noted(db) == []


def test_the_accounts_that_are_remembered_are_bounded(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "ACCOUNTS", 2)
    watch = Refusals(most=1)
    for organiser in (1, 2, 3, 1):
        ask(watch, organiser)
    assert len(noted(db)) == 4
    ask(watch, 3)
    assert len(noted(db)) == 4
