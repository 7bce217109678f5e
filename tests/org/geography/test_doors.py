"""Divisions over HTTP: anyone who has logged in looks up, an organiser at the top changes."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.org.geography import sets
from service.org.models import CountyBorder
from tests.factories import bearer, make_organisation, make_organiser

API = "/api/v1/divisions"
pytestmark = pytest.mark.usefixtures("chongqing")


@pytest.fixture
def top(client: FlaskClient) -> FlaskClient:
    _, cookie = make_organiser(organisation=make_organisation(level="province"))
    client.set_cookie("chunshui_organiser", cookie)
    return client


def ask(client: FlaskClient, **query: Any) -> Any:
    return client.get(API, query_string=query, headers=bearer()).get_json()


def test_a_name_within_a_context(client: FlaskClient) -> None:
    assert ask(client, name="茨竹镇")["code"] == "lookup_context"
    found = ask(client, name="茨竹镇", parent="50")
    assert found["ambiguous"]
    assert [(one["code"], one["parent_name"]) for one in found["divisions"]] == [
        ("500109127", "北碚区"),
        ("500112140", "渝北区"),
    ]
    assert not ask(client, name="茨竹镇", parent="500109")["ambiguous"]


def test_the_provinces_and_what_is_below(client: FlaskClient) -> None:
    assert [one["code"] for one in ask(client)["divisions"]] == ["50"]
    assert [one["code"] for one in ask(client, parent="50")["divisions"]] == ["500101", "500109", "500112"]


def test_a_change_is_entered_and_told(top: FlaskClient) -> None:
    body = {"kind": "abolished", "on": "2026-01-26", "successor": "500109127"}
    for _ in range(2):
        answer = top.post(f"{API}/500112140/changes", json=body)
        assert (answer.status_code, len(answer.get_json()["changes"])) == (201, 1)
    moved = top.post(f"{API}/500101220/changes", json={"kind": "moved", "parent": "500109"})
    assert moved.get_json()["changes"][0]["former_parent_code"] == "500101"
    renamed = top.post(f"{API}/500112/changes", json={"kind": "renamed", "name": "新渝区"})
    assert renamed.get_json()["changes"][0]["former_name"] == "渝北区"
    assert top.get(f"{API}/500112140").status_code == 404
    shown = top.get(f"{API}/500112140?as_of=2026-01-25").get_json()
    assert (shown["valid_to"], shown["successor_code"]) == ("2026-01-25", "500109127")


def test_only_an_organiser_at_the_top_changes(client: FlaskClient) -> None:
    city = make_organisation(level="city", parent=make_organisation(level="province"))
    _, cookie = make_organiser(organisation=city)
    body = {"kind": "renamed", "name": "某地"}
    assert client.post(f"{API}/500112/changes", json=body, headers=bearer()).status_code == 401
    client.set_cookie("chunshui_organiser", cookie)
    assert client.post(f"{API}/500112/changes", json=body).status_code == 403
    assert client.get(f"{API}/500112").get_json()["name"] == "渝北区"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "renamed"}, "validation"),
        ({"kind": "moved"}, "validation"),
        ({"kind": "abolished"}, "division_in_use"),
        ({"kind": "abolished", "successor": "99"}, "division_in_use"),
        ({"kind": "moved", "parent": "500109127"}, "division_level"),
        ({"kind": "renamed", "name": "某地", "on": "2099-01-01"}, "validation"),
    ],
)
def test_what_is_refused(top: FlaskClient, body: dict[str, Any], code: str) -> None:
    assert top.post(f"{API}/500112/changes", json=body).get_json()["code"] == code


def test_a_set_as_of_a_day(client: FlaskClient, db: Session) -> None:
    db.add(CountyBorder(county_code="500112", neighbour_code="500109"))
    db.commit()
    sets.load_border()
    shown = client.get("/api/v1/geography-sets/sichuan-border?as_of=2026-01-01", headers=bearer()).get_json()
    assert [one["code"] for one in shown["divisions"]] == ["500112"]
    assert shown["prefectures"] == []
    for unknown in ("elsewhere", "%00"):
        assert client.get(f"/api/v1/geography-sets/{unknown}", headers=bearer()).status_code == 404
