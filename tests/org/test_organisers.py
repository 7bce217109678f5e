"""Organisers: log-in by password, the cookie, and the guard against other sites."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.accounts import opening, passwords, sessions
from service.org.models import OrganiserSession
from tests.factories import PASSWORD, make_organisation, make_organiser

SESSIONS = "/api/v1/organisers/sessions"
COOKIE = "chunshui_organiser"


def sign_in(client: Any, login: str = "chengdu", password: str = PASSWORD, **more: Any) -> Any:
    return client.post(SESSIONS, json={"login": login, "password": password}, **more)


def test_log_in_look_and_log_out(client: Any) -> None:
    city = make_organisation(level="city", name="成都市")
    make_organiser(organisation=city, login="chengdu", name="李组织")
    opened = sign_in(client)
    assert opened.status_code == 201
    me = client.get("/api/v1/organisers/me")
    assert me.json == opened.json["organiser"]
    assert (me.json["name"], me.json["organisation"]) == ("李组织", {"id": city.id, "name": "成都市"})
    cookie = client.get_cookie(COOKIE)
    assert client.delete(f"{SESSIONS}/current").status_code == 204
    assert client.get("/api/v1/organisers/me").json["code"] == "token_missing"
    client.set_cookie(COOKIE, cookie.value)
    assert client.get("/api/v1/organisers/me").json["code"] == "token_invalid"


def test_the_cookie_is_out_of_reach(client: Any) -> None:
    make_organiser(login="chengdu")
    [cookie, known] = sign_in(client).headers.getlist("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(known.split("; "))
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "Secure" in sign_in(client, base_url="https://localhost").headers["Set-Cookie"]


def test_only_hashes_are_stored(client: Any, db: Session) -> None:
    make_organiser(login="chengdu")
    sign_in(client)
    value = client.get_cookie(COOKIE).value
    assert value.encode() not in [row.token_hash for row in db.query(OrganiserSession)]


@pytest.mark.parametrize(
    ("login", "password"), [("chengdu", "wrong password"), ("nobody", PASSWORD), ("chengdu", PASSWORD.upper())]
)
def test_one_refusal_for_either_mistake(
    client: Any, monkeypatch: pytest.MonkeyPatch, login: str, password: str
) -> None:
    """A password is checked in either case: the time it takes tells nothing."""
    make_organiser(login="chengdu")
    checked: list[str] = []
    genuine = passwords.verified

    def counted(password_hash: str, given: str) -> bool:
        checked.append(given)
        return genuine(password_hash, given)

    monkeypatch.setattr(sessions, "verified", counted)
    answer = sign_in(client, login, password)
    assert (answer.status_code, answer.json["code"]) == (401, "login_failed")
    assert "Set-Cookie" not in answer.headers
    assert checked == [password]


@pytest.mark.parametrize(
    "body", [{}, {"login": "a"}, {"login": 1, "password": "x"}, {"login": "a\0", "password": "x"}, []]
)
def test_bad_bodies(client: Any, body: Any) -> None:
    answer = client.post(SESSIONS, json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "validation")


def test_a_session_ends(client: Any, db: Session) -> None:
    make_organiser(login="chengdu")
    sign_in(client)
    db.query(OrganiserSession).update({"expires_at": datetime.now(UTC) - timedelta(seconds=1)})
    db.commit()
    assert client.get("/api/v1/organisers/me").json["code"] == "token_invalid"


@pytest.mark.parametrize("cookie", ["forged", "é", "x" * 3000])
def test_forged_cookies(client: Any, cookie: str) -> None:
    client.set_cookie(COOKIE, cookie)
    answer = client.get("/api/v1/organisers/me")
    assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.example"}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://[x]y"}, 403),
    ],
)
def test_other_sites_are_refused(client: Any, headers: dict[str, str], status: int) -> None:
    make_organiser(login="chengdu")
    assert sign_in(client, headers=headers).status_code == status
    opened = sign_in(client)
    assert opened.status_code == 201
    left = client.delete(f"{SESSIONS}/current", headers=headers)
    assert left.status_code == (204 if status == 201 else 403)


def test_a_form_of_another_site_is_no_json(client: Any) -> None:
    make_organiser(login="chengdu")
    sign_in(client)
    answer = client.post("/api/v1/activities", data='{"kind": "themed_day"}', content_type="text/plain")
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_accounts_are_checked(db: Session) -> None:
    city = make_organisation(level="city")
    good: dict[str, Any] = {
        "name": "李组织",
        "password": PASSWORD,
        "organisation_id": city.id,
        "now": datetime.now(UTC),
    }
    opening.add_organiser("chengdu", **good)
    for login, changes, code in (
        ("chengdu", {}, "conflict"),
        ("", {}, "validation"),
        ("nul\0", {}, "validation"),
        ("zigong", {"password": "short"}, "validation"),
        ("zigong", {"password": "password1234"}, "validation"),
        ("zigong", {"password": "zigong2026"}, "validation"),
        ("zigong", {"password": "春水春水春水春水"}, "validation"),
        ("zigong", {"organisation_id": 10**9}, "validation"),
    ):
        with pytest.raises(ServiceError, match=code):
            opening.add_organiser(login, **(good | changes))
