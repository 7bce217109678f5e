"""API clients: client credentials, two valid secrets at a rotation, scopes at the doors."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.accounts import clients
from service.org.accounts.models import ApiClientSecret
from service.org.accounts.sessions import Terms
from tests.factories import make_organisation, make_organiser
from tests.org.accounts.conftest import NOW

TOKEN = "/api/v1/oauth/token"
ENDPOINTS = "/api/v1/endpoints"
FORM = {"grant_type": "client_credentials"}


def shows(client_id: str, secret: str, terms: Terms, now: datetime) -> bool:
    """Whether the secret is good."""
    try:
        clients.issue(client_id, secret, scope=None, key=terms.keys[0], now=now)
    except ServiceError as error:
        return error.code != "client_invalid"
    return True


def test_a_rotation_leaves_two_secrets_for_a_week(terms: Terms, db: Session) -> None:
    organiser, _ = make_organiser(now=NOW)
    client, first = clients.register(organiser, name="推送", scopes=["events:read"], now=NOW)
    _, second = clients.rotate(organiser, client.id, NOW)
    soon, late = NOW + timedelta(days=1), NOW + clients.OVERLAP
    assert [shows(client.client_id, one, terms, soon) for one in (first, second, "x")] == [True, True, False]
    assert [shows(client.client_id, one, terms, late) for one in (first, second)] == [False, True]
    _, third = clients.rotate(organiser, client.id, soon)
    assert [shows(client.client_id, one, terms, soon) for one in (first, second, third)] == [False, True, True]
    assert first.encode() not in [row.secret_hash for row in db.query(ApiClientSecret)]


def test_a_programme_manages_its_receivers_within_its_scopes(app: APIFlask, client: Any) -> None:
    organisation = make_organisation(level="city")
    _, cookie = make_organiser(organisation=organisation)
    client.set_cookie("chunshui_organiser", cookie)
    made = client.post("/api/v1/clients", json={"name": "推送", "scopes": ["endpoints:read", "endpoints:write"]})
    assert made.status_code == 201
    programme: Any = app.test_client()
    login = (made.json["client_id"], made.json["secret"])
    answer = programme.post(TOKEN, data=FORM, auth=login)
    assert (answer.json["token_type"], answer.json["scope"]) == ("Bearer", "endpoints:read endpoints:write")
    assert answer.headers["Cache-Control"] == "no-store"
    whole = {"Authorization": f"Bearer {answer.json['access_token']}"}
    body = {"url": "https://example.org/hook", "topics": ["checkin.created"]}
    made_one = programme.post(ENDPOINTS, json=body, headers=whole)
    assert made_one.status_code == 201
    in_form = {**FORM, "client_id": login[0], "client_secret": login[1], "scope": "endpoints:read"}
    narrow = {"Authorization": f"Bearer {programme.post(TOKEN, data=in_form).json['access_token']}"}
    assert [one["id"] for one in programme.get(ENDPOINTS, headers=narrow).json["endpoints"]] == [made_one.json["id"]]
    assert programme.post(ENDPOINTS, json=body, headers=narrow).json["code"] == "forbidden"
    # It is no organiser, and no member.
    assert programme.get("/api/v1/organisers/me", headers=whole).json["code"] == "token_missing"
    assert programme.get("/api/v1/me", headers=whole).json["code"] == "token_invalid"
    [listed] = client.get("/api/v1/clients").json["clients"]
    assert client.delete(f"/api/v1/clients/{listed['id']}").status_code == 204
    assert programme.get(ENDPOINTS, headers=whole).json["code"] == "token_invalid"
    assert programme.post(TOKEN, data=FORM, auth=login).json["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        (FORM, "invalid_client"),
        ({**FORM, "client_id": "nobody", "client_secret": "nothing"}, "invalid_client"),
        ({**FORM, "client_id": "\0", "client_secret": "é"}, "invalid_client"),
    ],
)
def test_refusals_have_the_standard_names(client: Any, form: dict[str, str], error: str) -> None:
    answer = client.post(TOKEN, data=form)
    assert answer.json["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)


def test_more_than_the_clients_scopes(terms: Terms) -> None:
    organiser, _ = make_organiser(now=NOW)
    client, secret = clients.register(organiser, name="推送", scopes=["events:read"], now=NOW)
    for scope in ("endpoints:read", "events:read endpoints:read", ""):
        with pytest.raises(ServiceError, match="scope_invalid"):
            clients.issue(client.client_id, secret, scope=scope, key=terms.keys[0], now=NOW)
    token, _ = clients.issue(client.client_id, secret, scope="events:read", key=terms.keys[0], now=NOW)
    assert clients.of_token(token, keys=("another", *terms.keys), now=NOW).scopes == {"events:read"}
    later = NOW + timedelta(seconds=clients.TOKEN_SECONDS)
    for bad, keys, now, code in (
        (token, terms.keys, later, "token_expired"),
        (token, ("another",), NOW, "token_invalid"),
        (token[:-4], terms.keys, NOW, "token_invalid"),
        ("é.é", terms.keys, NOW, "token_invalid"),
        ("", terms.keys, NOW, "token_invalid"),
    ):
        with pytest.raises(ServiceError, match=code):
            clients.of_token(bad, keys=keys, now=now)


def test_of_another_organisation_it_is_not_found(terms: Terms) -> None:
    organiser, _ = make_organiser(now=NOW)
    sister, _ = make_organiser(now=NOW)
    client, _ = clients.register(organiser, name="推送", scopes=["events:read"], now=NOW)
    assert clients.visible(sister) == []
    for act in (clients.rotate, clients.disable):
        with pytest.raises(ServiceError, match="not_found"):
            act(sister, client.id, NOW)
