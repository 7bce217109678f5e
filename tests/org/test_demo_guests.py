"""The demo's door: a person gets a place on the roster at once."""

from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask

from tests.factories import make_member, make_organisation, make_place
from tests.org.conftest import WeChat


@pytest.fixture
def demo(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "CHUNSHUI", replace(app.config["CHUNSHUI"], demo=True))


@pytest.mark.usefixtures("demo")
def test_a_guest_stands_beside_a_member(client: Any, wechat: WeChat) -> None:
    neighbour = make_member(place=make_place())
    given = client.post("/api/v1/demo/guests")
    assert given.status_code == 201
    opened = client.post("/api/v1/sessions", json={"app": "mini_program", **given.json})
    assert opened.status_code == 201
    member = opened.json["member"]
    assert member["id"] != neighbour.id
    assert member["organisation"]["id"] == neighbour.organisation_id
    assert member["place"]["code"] == "540102"


@pytest.mark.usefixtures("demo")
def test_the_first_guest_of_an_empty_roster(client: Any, wechat: WeChat) -> None:
    assert client.post("/api/v1/demo/guests").json["code"] == "not_found"
    make_organisation(level="branch")
    assert client.post("/api/v1/demo/guests").status_code == 201
