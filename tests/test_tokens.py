"""Access tokens: what was signed is read, whatever was touched is refused."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import tokens
from service.errors import ServiceError
from service.tokens import issue_access, read_access

NOW = datetime(2026, 9, 20, 1, tzinfo=UTC)
SECRET, OLD = "a secret of these tests alone, 32+", "the secret before that one, 32 or more"
PATHS = st.lists(st.integers(1, 999_999), min_size=1, max_size=6).map(lambda ids: ".".join(map(str, ids)))


def issued(secret: str = SECRET, *, member: int = 7, organisation: str = "1.2", seconds: int = 600) -> str:
    return issue_access(secret, member=member, organisation=organisation, place="54", now=NOW, seconds=seconds)


def refusal(token: str, *secrets: str, at: datetime = NOW) -> str:
    with pytest.raises(ServiceError) as refused:
        read_access(secrets or (SECRET,), token, at)
    return refused.value.code


@given(st.text(), st.text(st.characters(codec="utf-8"), min_size=1))
def test_the_signature_is_hmac_sha256(payload: str, secret: str) -> None:
    """RFC 2104, of which the standard library has another implementation."""
    key = hashlib.sha256(b"chunshui access token\0" + secret.encode()).digest()
    expected = hmac.digest(key, payload.encode("utf-8", "surrogatepass"), "sha256")
    assert tokens._sign(secret, payload) == expected


@given(st.integers(1, 1 << 53), PATHS)
def test_what_was_issued_is_read(member: int, organisation: str) -> None:
    actor = read_access((SECRET,), issued(member=member, organisation=organisation), NOW)
    assert (actor.member, actor.organisation, actor.place) == (member, organisation, "54")
    assert actor.scopes == {"member"}


@given(st.data())
def test_whatever_is_changed_is_refused(data: st.DataObject) -> None:
    token = issued()
    # The last character of the signature carries two bits that say nothing.
    at = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.characters().filter(lambda one: one != token[at]))
    assert refusal(token[:at] + other + token[at + 1 :]) == "token_invalid"


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    assert refusal(text) == "token_invalid"


def test_the_key_before_the_last_change_is_still_accepted() -> None:
    assert read_access((SECRET, OLD), issued(OLD), NOW).member == 7
    assert refusal(issued(OLD)) == "token_invalid"


def test_it_expires() -> None:
    token = issued(seconds=600)
    expires = read_access((SECRET,), token, NOW).expires_at
    assert 540 <= expires - NOW.timestamp() <= 600
    assert refusal(token, at=NOW + timedelta(seconds=600)) == "token_expired"
