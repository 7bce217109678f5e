"""Limits: per account and network, in Valkey for all, in the process alone while Valkey is away."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from apiflask import APIFlask

from service.config import Config
from service.limits import limiter
from tests.factories import bearer, make_activity, make_member

PASSWORDS = "/api/v1/organisers/sessions"
OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}
WRONG = {"login": "nobody", "password": "a wrong password"}


@pytest.fixture
def few(app: APIFlask, config: Config) -> Iterator[None]:
    """Two of everything a minute."""
    kept = app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(
        kept, account_requests_per_minute=2, network_passwords_per_minute=2, network_logins_per_minute=2
    )
    yield
    app.config["CHUNSHUI"] = kept
    limiter._storage_dead = False


def tried(client: Any, address: str, login: str = "nobody") -> int:
    body = {"login": login, "password": "a wrong password"}
    return int(client.post(PASSWORDS, json=body, environ_overrides={"REMOTE_ADDR": address}).status_code)


def test_one_network_is_limited_and_others_are_not(few: None, client: Any) -> None:
    assert [tried(client, "203.0.113.7", f"nobody{n}") for n in range(3)] == [401, 401, 429]
    assert tried(client, "203.0.113.8", "somebody") == 401
    answer = client.post(PASSWORDS, json=WRONG, environ_overrides=OUTSIDE)
    assert answer.json["code"] == "too_many_requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_an_ipv6_network_is_a_64(few: None, client: Any) -> None:
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:1::1", "::ffff:203.0.113.9"]
    statuses = [tried(client, address, f"nobody{n}") for n, address in enumerate(addresses)]
    assert statuses == [401, 401, 429, 401, 401]


def test_loopback_is_never_limited(few: None, client: Any) -> None:
    assert [tried(client, "127.0.0.1", f"nobody{n}") for n in range(4)] == [401] * 4


def test_a_member_is_limited_wherever_he_is(few: None, client: Any) -> None:
    activity, member, other = make_activity(), make_member(), make_member()
    path = f"/api/v1/activities/{activity.id}/check-ins"

    def check_in(number: int, who: Any) -> int:
        where = {"REMOTE_ADDR": f"203.0.113.{number}"}
        body = {"reference": "reference-1"}
        return int(client.post(path, json=body, headers=bearer(member=who), environ_overrides=where).status_code)

    assert [check_in(number, member) for number in range(3)] == [201, 200, 429]
    assert check_in(4, other) == 201


def test_without_valkey_the_process_counts_alone(few: None, client: Any, app: APIFlask) -> None:
    uncounted = app.extensions["limits_uncounted"]
    before = uncounted._value.get()
    kept = app.extensions["valkey"]
    app.extensions["valkey"] = redis.Redis.from_url("redis://127.0.0.1:1")
    try:
        assert [tried(client, "203.0.113.20", f"nobody{n}") for n in range(3)] == [401, 401, 429]
        assert uncounted._value.get() > before
    finally:
        app.extensions["valkey"] = kept
