"""What every answer says to browsers, and what no browser can be made to do: a walk over all doors."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from gevent import Timeout
from werkzeug.test import TestResponse

from service import deadline
from service.app import MAX_BODY_BYTES
from service.headers import HSTS
from service.org.access import COOKIE, DEVICE_COOKIE
from tests.doors import UNSAFE, Door, doors
from tests.factories import PASSWORD, bearer, make_organiser

FOREIGN = "https://evil.example"
PAGES = {"/", "/m/", "/desk/", "/gate/", "/console/"}
LOADS_NOTHING = {"default-src", "base-uri", "form-action", "frame-ancestors"}
# What opens a page without a network asks for the page.
ASKS = {"pages.worker": {"connect-src"}}
SESSIONS = "/api/v1/organisers/sessions"
# Doors that a browser's cookie opens, or that hand one out.
WITH_COOKIES = {"accounts.sign_in", "accounts.recover"}


def asked(client: FlaskClient, door: Door, **more: Any) -> TestResponse:
    """The answer, read to its end and its file closed."""
    answer = client.open(door.path, method=door.method, **more)
    answer.get_data()
    answer.close()
    return answer


def directives(answer: TestResponse) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


@pytest.fixture
def organiser(client: FlaskClient) -> FlaskClient:
    """A browser that is logged in."""
    client.set_cookie(COOKIE, make_organiser()[1])
    return client


@pytest.fixture
def over_tls(app: APIFlask) -> Iterator[None]:
    """The application behind TLS, by its setting."""
    kept = app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(kept, web_url="https://day.example.org")
    yield
    app.config["CHUNSHUI"] = kept


def test_every_answer_is_guarded(app: APIFlask, organiser: FlaskClient) -> None:
    """Whatever it is: a page, an error, a picture, nothing."""
    for door in [*doors(app), Door("GET", "/no-such-page", "", "")]:
        answer = asked(organiser, door)
        policy = directives(answer)
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"], door
        assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:"} & {*policy.get("script-src", [])}, door
        assert answer.headers["X-Content-Type-Options"] == "nosniff", door
        assert answer.headers["X-Frame-Options"] == "DENY", door
        assert answer.headers["Referrer-Policy"] == "same-origin", door
        assert "geolocation=()" in answer.headers["Permissions-Policy"], door
        assert "Strict-Transport-Security" not in answer.headers, door


def test_only_pages_load_anything_and_they_only_what_is_ours(app: APIFlask, client: FlaskClient) -> None:
    html = set()
    for door in doors(app, "GET"):
        answer = asked(client, door)
        policy = directives(answer)
        if answer.mimetype == "text/html":
            html.add(door.path)
            assert policy["script-src"] == policy["style-src"] == ["'self'"], door
            own = {"ws://localhost", "http://localhost:8001", "ws://localhost:8001"}
            assert set(policy["connect-src"]) <= {"'self'", *own}, door
            assert not re.search(r"<script(?![^>]* src=\"/)|<style|style=| on\w+=|https?://", answer.text), door
        else:
            assert policy.keys() - ASKS.get(door.endpoint, set()) == LOADS_NOTHING, door
    assert html == PAGES


def test_no_personal_answer_is_kept(app: APIFlask, organiser: FlaskClient) -> None:
    """By no browser and no proxy: whatever asks who one is, refused or not."""
    token = bearer()
    for door in doors(app):
        if door.authentication != "public":
            for headers in ({}, token):
                assert asked(organiser, door, headers=headers).headers["Cache-Control"] == "no-store", door


def test_over_tls_a_browser_is_told_to_stay_there(over_tls: None, app: APIFlask, client: FlaskClient) -> None:
    for door in doors(app):
        assert asked(client, door).headers["Strict-Transport-Security"] == HSTS, door


def test_an_answer_to_a_request_that_hung_is_guarded_too(
    app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: Any) -> None:
        import gevent

        gevent.sleep(30)

    monkeypatch.setattr(deadline, "SECONDS", 0.01)
    monkeypatch.setitem(app.view_functions, "healthy", hang)
    with Timeout(20):
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert directives(answer)["frame-ancestors"] == ["'none'"]


def log_in(client: FlaskClient, **more: Any) -> TestResponse:
    make_organiser(login="li")
    return client.post(SESSIONS, json={"login": "li", "password": PASSWORD}, **more)


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client: FlaskClient) -> None:
    cookies = log_in(client).headers.getlist("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == [COOKIE, DEVICE_COOKIE]
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


def test_over_tls_no_other_host_can_set_them(over_tls: None, client: FlaskClient) -> None:
    base = {"base_url": "https://day.example.org"}
    cookies = log_in(client, **base).headers.getlist("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == [f"__Host-{COOKIE}", f"__Host-{DEVICE_COOKIE}"]
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert client.get("/api/v1/organisers/me", **base).status_code == 200
    kept = client.get_cookie(f"__Host-{COOKIE}", domain="day.example.org")
    assert kept
    client.set_cookie(COOKIE, kept.value, domain="day.example.org")
    client.delete_cookie(f"__Host-{COOKIE}", domain="day.example.org")
    assert client.get("/api/v1/organisers/me", **base).status_code == 401


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
SENT_FROM_ELSEWHERE: list[dict[str, Any]] = [
    {"headers": {"Origin": FOREIGN}, "json": {}},
    {"headers": {"Origin": "null"}, "json": {}},
    {"headers": {"Sec-Fetch-Site": "cross-site"}, "json": {}},
    {"headers": {"Sec-Fetch-Site": "same-site"}, "json": {}},
    {"data": {"a": "form"}},
    {"data": "{}", "content_type": "text/plain"},
]


@pytest.mark.parametrize("sent", SENT_FROM_ELSEWHERE, ids=str)
def test_no_other_site_acts_with_a_cookie(app: APIFlask, organiser: FlaskClient, sent: dict[str, Any]) -> None:
    walked = [d for d in doors(app, *UNSAFE) if "organiser" in d.authentication or d.endpoint in WITH_COOKIES]
    assert len(walked) > 25
    for door in walked:
        assert asked(organiser, door, **sent).status_code == (415 if "headers" not in sent else 403), door


def test_a_cookie_opens_no_other_door_that_changes_something(app: APIFlask, organiser: FlaskClient) -> None:
    """Members' doors ask for a token, which no browser adds by itself."""
    for door in doors(app, *UNSAFE):
        if door.authentication == "member":
            assert asked(organiser, door, json={}).get_json()["code"] == "token_missing", door


@pytest.mark.parametrize("method", ["GET", "OPTIONS", *UNSAFE])
def test_no_other_site_may_read(app: APIFlask, organiser: FlaskClient, method: str) -> None:
    headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST", **bearer()}
    for door in doors(app, method):
        answer = asked(organiser, door, headers=headers)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")], door


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost.evil.example"])
def test_no_other_site_opens_the_organisers_socket(organiser: FlaskClient, origin: str) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    address = "/socket.io/?EIO=4&transport=websocket"
    refused = organiser.get(address, headers={**headers, "Origin": origin})
    assert (refused.status_code, refused.text) == (400, '"Not an accepted origin."')
    # From our own page it comes as far as the server's own socket, which a test's client has none of.
    with pytest.raises(RuntimeError, match="Cannot obtain socket"):
        organiser.get(address, headers={**headers, "Origin": "http://localhost"})


def test_no_door_takes_a_large_body(app: APIFlask, client: FlaskClient) -> None:
    for door in doors(app, *UNSAFE):
        most = getattr(app.view_functions[door.endpoint], "most_bytes", MAX_BODY_BYTES)
        answer = asked(
            client, door, content_type="application/json", environ_overrides={"CONTENT_LENGTH": str(most + 1)}
        )
        assert (answer.status_code, answer.get_json()["code"]) == (413, "body_too_large"), door


def test_no_door_reads_on_when_the_length_is_not_said(app: APIFlask, client: FlaskClient) -> None:
    """As gunicorn hands on a body in chunks."""
    import io

    for path in ("/api/v1/sessions", "/api/v1/sessions/refresh", SESSIONS):
        stream = io.BytesIO(b'{"code": "' + b"x" * MAX_BODY_BYTES + b'"}')
        environ = {"wsgi.input": stream, "wsgi.input_terminated": True, **CHUNKED}
        answer = client.post(path, content_type="application/json", environ_overrides=environ)
        assert answer.status_code in (400, 413), path  # what was read of it is no JSON
        assert stream.tell() <= MAX_BODY_BYTES, path


def test_nothing_answers_to_methods_that_nobody_needs(app: APIFlask, client: FlaskClient) -> None:
    for door in doors(app, "GET"):
        for method in ("TRACE", "CONNECT"):
            assert client.open(door.path, method=method).status_code == 405, door
