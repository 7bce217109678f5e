"""Members and organisers see their own log-ins and end any of them; nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.audit.models import Note
from service.org.access import COOKIE
from service.org.accounts.sessions import Terms, open_session
from service.org.models import Denial, MemberSession, OrganiserSession
from tests.factories import bearer, make_member, make_organiser, make_token

API = "/api/v1"
NOW = datetime.now(UTC)


def listed(client: FlaskClient, who: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{API}{who}/sessions", **more).get_json()["sessions"]
    return found


def test_a_member_ends_one_of_his_log_ins(client: FlaskClient, db: Session) -> None:
    member = make_member()
    other = {"Authorization": f"Bearer {make_token(member=member)}"}
    mine = bearer(member=member)
    latest, first = listed(client, "/me", headers=mine)
    assert (latest["current"], first["current"], first["app"]) == (True, False, "mini_program")
    assert client.get(f"{API}/me", headers=other).status_code == 200
    assert client.delete(f"{API}/me/sessions/{first['id']}", headers=mine).status_code == 204
    assert client.get(f"{API}/me", headers=other).get_json()["code"] == "token_denied"
    assert client.get(f"{API}/me", headers=mine).status_code == 200
    assert [one["id"] for one in listed(client, "/me", headers=mine)] == [latest["id"]]
    assert client.delete(f"{API}/me/sessions/{first['id']}", headers=mine).status_code == 404
    assert db.query(Note).filter_by(event="logout").one().details == {"session": first["id"]}


def test_a_member_ends_nobody_elses(client: FlaskClient, db: Session) -> None:
    make_token()
    theirs = db.query(MemberSession).one().id
    mine = bearer()
    answers = [client.delete(f"{API}/me/sessions/{number}", headers=mine) for number in (theirs, 10**15)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json == answers[1].json
    assert db.query(Denial).count() == 0
    assert len(listed(client, "/me", headers=mine)) == 1


def test_what_is_over_is_not_listed(client: FlaskClient, db: Session) -> None:
    member = make_member()
    old = MemberSession(member_id=member.id, app="h5", created_at=NOW, expires_at=NOW - timedelta(1))
    db.add(old)
    db.commit()
    assert old.id not in [one["id"] for one in listed(client, "/me", headers=bearer(member=member))]


@pytest.fixture
def terms(client: FlaskClient) -> Terms:
    return Terms.of(client.application.config["CHUNSHUI"])


def test_an_organiser_ends_one_of_his_log_ins(client: FlaskClient, db: Session, terms: Terms) -> None:
    organiser, cookie = make_organiser(login="li")
    other = open_session(organiser.id, "li", two_factors=False, terms=terms, now=NOW)
    idle = open_session(organiser.id, "li", two_factors=False, terms=terms, now=NOW - terms.idle - timedelta(1))
    client.set_cookie(COOKIE, cookie)
    found = {one["id"]: one for one in listed(client, "/organisers/me")}
    assert set(found) == {organiser.session, other.organiser.session}
    assert idle.organiser.session not in found
    assert [found[one]["current"] for one in (organiser.session, other.organiser.session)] == [True, False]
    door = f"{API}/organisers/me/sessions/{other.organiser.session}"
    assert [client.delete(door).status_code for _ in range(2)] == [204, 404]
    assert len(listed(client, "/organisers/me")) == 1
    client.set_cookie(COOKIE, other.cookie)
    assert client.get(f"{API}/organisers/me").status_code == 401


def test_an_organiser_ends_nobody_elses(client: FlaskClient, db: Session) -> None:
    theirs, _ = make_organiser()
    client.set_cookie(COOKIE, make_organiser()[1])
    assert client.delete(f"{API}/organisers/me/sessions/{theirs.session}").status_code == 404
    assert db.get_one(OrganiserSession, theirs.session).revoked_at is None
