"""Without PostgreSQL the doors say so, at once and with a time to come back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.clock import now
from service.config import Config
from service.extensions import db
from service.tokens import issue_access
from tests.org.conftest import WeChat


@pytest.fixture
def cut_off(config: Config) -> Iterator[Any]:
    """A client of an application that has lost its database, with a member's token."""
    app = create_app(replace(config, database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    wechat = WeChat()
    wechat.code_for("o-1")
    with httpx.Client(base_url="https://wechat.test", transport=httpx.MockTransport(wechat.answer)) as stand_in:
        app.extensions["wechat"].close()
        app.extensions["wechat"] = stand_in
        yield app.test_client()
    with app.app_context():
        db.engine.dispose()
    app.extensions["valkey"].close()


def test_every_door_answers_503(cut_off: Any, config: Config) -> None:
    token = issue_access(config.secret_key, member=1, organisation="1", place="", session=1, now=now(), seconds=600)
    headers = {"Authorization": f"Bearer {token}"}
    for method, path, body in (
        ("post", "sessions", {"app": "mini_program", "code": "code-0-o-1"}),
        ("post", "sessions/refresh", {"refresh_token": "x"}),
        ("post", "organisers/sessions", {"login": "a", "password": "b"}),
        ("post", "activities/1/check-ins", {"reference": "reference-1"}),
        ("get", "activities/1", None),
        ("get", "activities", None),
        ("get", "me", None),
    ):
        answer = getattr(cut_off, method)(f"/api/v1/{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable"), path
        assert int(answer.headers["Retry-After"]) > 0
