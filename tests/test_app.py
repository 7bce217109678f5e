"""What holds for every answer and every door."""

import logging
import re
import time
from typing import Any

import pytest
from apiflask import APIFlask
from flask import Request
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.test import Client

from service import deadline
from service.extensions import db as database
from service.logs import without_address


def test_the_document_says_who_may_call_what(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    assert paths["/api/v1/activities/{activity_id}/check-ins"]["post"]["security"] == [{"member": []}]
    assert paths["/api/v1/activities/{activity_id}"]["get"]["security"] == [{"member": []}, {"organiser": []}]
    assert "security" not in paths["/api/v1/sessions"]["post"]


def test_every_reference_of_the_document_resolves(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")
    known = answer.get_json()["components"]["schemas"]
    wanted = set(re.findall(r"#/components/schemas/(\w+)", answer.get_data(as_text=True)))
    assert wanted
    assert wanted <= known.keys()


@pytest.mark.parametrize(("language", "title"), [("zh-CN", "未找到"), ("en", "Not found"), ("", "未找到")])
def test_one_error_shape_in_two_languages(client: FlaskClient, language: str, title: str) -> None:
    answer = client.get("/api/v1/nothing-here", headers={"Accept-Language": language})
    assert answer.content_type.startswith("application/problem+json")
    assert answer.get_json() == {
        "type": "urn:chunshui:problem:not_found",
        "title": title,
        "status": 404,
        "code": "not_found",
    }


@pytest.mark.parametrize("body", ["[" * 30_000 + "]" * 30_000, '{"a":' * 10_000, '{"code":' + "9" * 5_000 + "}"])
@pytest.mark.parametrize("path", ["sessions", "sessions/refresh", "organisers/sessions"])
def test_json_that_python_cannot_bear_is_malformed(client: FlaskClient, path: str, body: str) -> None:
    answer = client.post(f"/api/v1/{path}", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("error", [InvalidChunkSize(b"zz"), OSError("gone")])
def test_a_body_that_breaks_off_is_malformed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any, **__: Any) -> bytes:
        raise error

    monkeypatch.setattr(Request, "get_data", broken)
    answer = client.post("/api/v1/sessions", json={})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_gunicorn_logs_no_address() -> None:
    text = "Invalid request from ip=2001:db8::7: Invalid HTTP method: 'get'"
    record = logging.LogRecord("gunicorn.error", logging.WARNING, "", 0, text, (), None)
    assert without_address(record)
    assert record.getMessage() == "Invalid request: Invalid HTTP method: 'get'"


def test_a_request_that_hangs_is_given_up(app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before a frozen database: the greenlet waits in gevent's loop and nothing comes."""
    import gevent

    def hang(*_: Any) -> None:
        gevent.sleep(30)

    monkeypatch.setattr(deadline, "SECONDS", 0.05)
    monkeypatch.setattr(database.session, "execute", hang)
    began = time.monotonic()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "database_unavailable"
    assert answer.headers["Retry-After"] == "2"
    assert time.monotonic() - began < 25


def test_a_request_that_gets_on_has_its_time_anew(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file on a slow line: longer than any one request may take, and given up once nothing more comes."""
    import gevent

    def sending(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(5):
            gevent.sleep(0.4)
            deadline.more_time(environ)
        if environ["PATH_INFO"] == "/breaks-off":
            gevent.sleep(30)
        start_response("200 OK", [])
        return [b"done"]

    monkeypatch.setattr(deadline, "SECONDS", 1.5)
    client = Client(deadline.Deadline(app, sending))
    assert client.get("/whole").status_code == 200
    assert client.get("/breaks-off").status_code == 503
