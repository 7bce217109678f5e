"""How the built pages are served: anew each time, their assets for ever, under a policy that lets nothing else run."""

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import pages


def got(client: FlaskClient, path: str, *, base_url: str = "http://localhost") -> TestResponse:
    """The answer, read to its end and its file closed."""
    answer = client.get(path, base_url=base_url)
    answer.get_data()
    answer.close()
    return answer


def policy_of(answer: TestResponse) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


@pytest.mark.parametrize("path", ["/", "/m/", "/desk/", "/gate/", "/console/"])
def test_an_entry_page_is_asked_for_anew_and_lets_only_our_own_scripts_run(client: FlaskClient, path: str) -> None:
    answer = got(client, path)
    assert answer.status_code == 200
    assert answer.cache_control.no_cache
    policy = policy_of(answer)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert not re.search(r"<script(?![^>]* src=)|<style|style=| on\w+=", answer.text)


def test_the_policy_names_the_gateway_of_the_request(client: FlaskClient) -> None:
    policy = policy_of(got(client, "/m/", base_url="http://192.168.1.20:8000"))
    assert {"'self'", "ws://192.168.1.20:8000", "ws://192.168.1.20:8001"} <= set(policy["connect-src"])
    over_tls = policy_of(got(client, "/m/", base_url="https://[2001:db8::1]"))
    assert {"wss://[2001:db8::1]", "wss://[2001:db8::1]:8001"} <= set(over_tls["connect-src"])


def test_an_asset_may_be_kept_for_ever(client: FlaskClient) -> None:
    [script] = re.findall(r'<script[^>]* src="(/assets/[^"]+)"', got(client, "/").text)
    answer = got(client, script)
    assert answer.status_code == 200
    assert answer.cache_control.max_age == pages.FOR_EVER
    assert answer.cache_control.immutable


@pytest.mark.parametrize("name", ["none.js", "../wall.html", "%2e%2e/wall.html", "..%2f..%2fapp.py"])
def test_nothing_but_assets_is_an_asset(client: FlaskClient, name: str) -> None:
    answer = got(client, f"/assets/{name}")
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["code"] == "not_found"


def test_pages_that_were_never_built_say_so(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(pages, "STATIC", tmp_path_factory.mktemp("empty"))
    answer = client.get("/")
    assert answer.status_code == 503
    assert "make setup" in answer.text


def test_the_pages_are_told_the_demo_and_the_phone_page(client: FlaskClient) -> None:
    answer = client.get("/m/settings.json", base_url="http://192.168.1.20:8000")
    assert answer.json == {"demo": False, "phone": "http://192.168.1.20:8000/m/", "provider": None}
