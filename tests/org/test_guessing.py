"""Whoever guesses is stopped at every door where there is something to guess; a carrier's honest thousands are not."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.config import Config
from service.limits import limiter
from service.org.access import COOKIE
from service.org.accounts import attempts
from tests.doors import UNSAFE, doors
from tests.factories import PASSWORD, make_division, make_invitation, make_member, make_organisation, make_organiser
from tests.org.conftest import WeChat

API = "/api/v1"
ATTACKER = {"REMOTE_ADDR": "203.0.113.7"}
CARRIER = {"REMOTE_ADDR": "203.0.113.80"}
ALLOWED = 3
NOWHERE = "ABCD-ABCD-ABCD-ABCD"

Guess = Callable[[int, WeChat], dict[str, Any]]
# Doors without a log-in, and what is guessed at each: always another account, so that no account's own wait helps.
GUESSES: dict[str, Guess] = {
    "/organisers/sessions": lambda n, _: {"json": {"login": f"nobody{n}", "password": "a wrong password"}},
    "/organisers/recovery": lambda n, _: {
        "json": {"login": f"nobody{n}", "code": NOWHERE, "password": "quite another password"}
    },
    "/oauth/token": lambda n, _: {
        "data": {"grant_type": "client_credentials", "client_id": f"client{n}", "client_secret": "wrong"}
    },
    "/sessions": lambda n, wechat: {
        "json": {"app": "mini_program", "code": wechat.code_for(f"openid{n}"), "invitation": NOWHERE}
    },
    "/sessions/refresh": lambda n, _: {"json": {"refresh_token": f"{n:043}"}},
    "/gates/pairing": lambda _, __: {"json": {"code": NOWHERE}},
    "/gates/state": lambda n, _: {"json": {"gate": n + 1, "proof": "x" * 43}},
}
# It is shut but in the demo, where there is nobody's data.
SHUT = {"/demo/guests"}
# WeChat's own servers knock here, each time with a signature over what they send.
SIGNED = {"callbacks.receive"}
# Within a session: a stolen cookie does not lead to the password or to the factor.
INSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "/organisers/me/password": ("PUT", {"password": "wrong", "new_password": "quite another password"}),
    "/organisers/me/second-factor": ("POST", {"password": "wrong"}),
    "/organisers/me/second-factor/confirmation": ("POST", {"code": "000000"}),
}


@pytest.fixture
def few(app: APIFlask, config: Config) -> Iterator[None]:
    """Some tries a minute from one network."""
    kept = app.config["CHUNSHUI"]
    terms = {"network_passwords_per_minute": ALLOWED, "network_logins_per_minute": ALLOWED}
    app.config["CHUNSHUI"] = replace(kept, **terms)
    yield
    app.config["CHUNSHUI"] = kept
    limiter._storage_dead = False


def test_every_door_without_a_log_in_is_known(app: APIFlask) -> None:
    public = [door for door in doors(app, *UNSAFE) if door.authentication == "public"]
    found = {door.path.removeprefix(API) for door in public if door.endpoint not in SIGNED}
    assert found == GUESSES.keys() | SHUT


@pytest.mark.parametrize("path", GUESSES)
def test_one_network_guesses_a_few_times_a_minute(few: None, client: FlaskClient, wechat: WeChat, path: str) -> None:
    def status(number: int) -> int:
        return client.post(API + path, environ_overrides=ATTACKER, **GUESSES[path](number, wechat)).status_code

    assert [400 <= status(n) < 429 for n in range(ALLOWED)] == [True] * ALLOWED
    assert status(ALLOWED) == 429


def test_a_phone_number_is_tried_at_the_same_door(few: None, client: FlaskClient, wechat: WeChat) -> None:
    """Binding by phone is a log-in: counted before WeChat is asked."""
    for number in range(ALLOWED + 1):
        body = {"app": "mini_program", "code": wechat.code_for(f"openid{number}"), "phone_code": f"phone{number}"}
        answer = client.post(f"{API}/sessions", json=body, environ_overrides=ATTACKER)
    assert answer.status_code == 429
    assert len([one for one in wechat.asked if "js_code" in one.url.params]) == ALLOWED


def test_a_shut_door_is_shut(client: FlaskClient) -> None:
    for path in SHUT:
        assert client.post(API + path).status_code == 404


@pytest.mark.parametrize("path", INSIDE)
def test_within_a_session_guesses_wait_for_one_another(client: FlaskClient, path: str) -> None:
    client.set_cookie(COOKIE, make_organiser()[1])
    method, body = INSIDE[path]
    if path.endswith("confirmation"):
        client.post(f"{API}/organisers/me/second-factor", json={"password": PASSWORD})
    codes = [client.open(API + path, method=method, json=body).get_json()["code"] for _ in range(attempts.FREE + 1)]
    assert codes[-1] == "login_locked"
    assert "login_locked" not in codes[: attempts.FREE]


def test_a_carriers_members_log_in_at_nine_o_clock(client: FlaskClient, db: Session, wechat: WeChat) -> None:
    """500 behind one address within a minute, each of whom comes back once more, by the shipped settings."""
    branch, place = make_organisation(), make_division()
    for number in range(500):
        invitation = make_invitation(member=make_member(organisation=branch, place=place))
        body = {"app": "mini_program", "code": wechat.code_for(f"openid{number}"), "invitation": invitation}
        entered = client.post(f"{API}/sessions", json=body, environ_overrides=CARRIER)
        assert entered.status_code == 201
        again = {"refresh_token": entered.get_json()["refresh_token"]}
        assert client.post(f"{API}/sessions/refresh", json=again, environ_overrides=CARRIER).status_code == 200
