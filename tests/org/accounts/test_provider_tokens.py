"""Tokens as a real provider would not make them, signed with a key that ours is told to be its own."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from service.config import Config
from service.errors import ServiceError
from service.org.accounts.provider.client import ENDPOINTS, Provider

ISSUER, CLIENT = "https://idp.example", "chunshui"
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
KEY = ECKey.generate_key("P-256", {"kid": "1"})
# A provider that makes the mistake of publishing a secret one.
SHARED = OctKey.generate_key(256, {"kid": "2"})
CLAIMS = {"iss": ISSUER, "aud": CLIENT, "sub": "ana", "nonce": "n", "iat": NOW.timestamp(), "exp": NOW.timestamp() + 60}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    said = {
        "issuer": ISSUER,
        **dict.fromkeys(ENDPOINTS, f"{ISSUER}/x"),
        "keys": [KEY.as_dict(private=False), SHARED.as_dict(private=True)],
    }
    config = Config(secret_key="", oidc_issuer=ISSUER, oidc_client_id=CLIENT, oidc_acr="2", oidc_amr="otp")
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=said))) as http:
        yield Provider(config, http)


def signed(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "ES256", "kid": "1"}, claims, KEY)


def refused(provider: Provider, token: str) -> bool:
    try:
        provider.read(token, "n", NOW)
    except ServiceError as error:
        return error.code == "provider_refused"
    return False


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": "another", "azp": CLIENT},
        {"aud": [], "azp": CLIENT},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"sub": None},
        {"sub": 5},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "nul\0"},
        {"nonce": None},
        {"nonce": "m"},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"iat": NOW.timestamp() + 120},
        {"nbf": NOW.timestamp() + 120},
        {"amr": "otp"},
    ],
)
def test_a_token_that_is_not_for_us(provider: Provider, claims: dict[str, Any]) -> None:
    assert not refused(provider, signed(CLAIMS))
    changed = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    assert refused(provider, signed(changed))
    assert refused(provider, signed(CLAIMS | claims))


def test_a_token_for_us_and_another(provider: Provider) -> None:
    assert provider.read(signed(CLAIMS | {"aud": [CLIENT, "another"], "azp": CLIENT}), "n", NOW).subject == "ana"


@pytest.mark.parametrize("acr", ["2", "1", "", None, 2, ["2"], {"2": 2}])
@pytest.mark.parametrize("amr", [["otp"], ["pwd", "otp"], ["pwd"], [], None, [{}], [None]])
def test_two_factors_are_what_the_settings_demand(provider: Provider, acr: Any, amr: Any) -> None:
    found = provider.read(signed(CLAIMS | {"acr": acr, "amr": amr}), "n", NOW)
    assert found.two_factors is (acr == "2" and "otp" in (amr or []))


def test_who_has_the_public_key_or_the_secret_signs_nothing(provider: Provider) -> None:
    # By hand: a library lets nobody take a public key for a secret.
    signed_part = f"{encoded({'alg': 'HS256', 'kid': '1'})}.{encoded(CLAIMS)}"
    for key in (KEY.as_pem(private=False), json.dumps(KEY.as_dict(private=False)).encode(), CLIENT.encode()):
        mac = hmac.new(key, signed_part.encode(), sha256).digest()
        assert refused(provider, f"{signed_part}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}")
    assert refused(provider, jwt.encode({"alg": "HS256", "kid": "2"}, CLAIMS, SHARED))
    other = ECKey.generate_key("P-256", {"kid": "1"})
    assert refused(provider, jwt.encode({"alg": "ES256", "kid": "1"}, CLAIMS, other))


def encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.text() | st.builds(lambda head, rest: f"{encoded(head)}.{rest}", ANYTHING, st.text(max_size=12)))
def test_no_text_raises_anything_else(provider: Provider, text: str) -> None:
    assert refused(provider, text)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*CLAIMS, "acr", "amr", "azp", "auth_time", "at_hash"]), ANYTHING))
def test_no_claims_raise_anything_else(provider: Provider, claims: dict[str, Any]) -> None:
    token = signed(CLAIMS | claims)
    assert refused(provider, token) or provider.read(token, "n", NOW).issuer == ISSUER
