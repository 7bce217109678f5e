"""Failed log-ins: dear for who guesses, and never a way to keep others out."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.org.accounts import attempts
from service.org.accounts.models import LoginAttempts
from service.org.accounts.sessions import Terms, sign_in
from tests.factories import PASSWORD, make_organiser
from tests.org.accounts.conftest import NOW

KEY = "a key that only this test knows, 32+"


def guess(terms: Terms, login: str, now: datetime, *, device: str | None = None) -> tuple[str, int]:
    """What a wrong password is told, and how long to wait."""
    with pytest.raises(ServiceError) as caught:
        sign_in(login, "a wrong password", device=device, terms=terms, now=now)
    return caught.value.code, caught.value.details.get("retry_after", 0)


@pytest.mark.parametrize("login", ["chengdu", "nobody"])
def test_waits_grow_and_end(terms: Terms, login: str) -> None:
    """For a login that no account has they are the same."""
    make_organiser(login="chengdu", now=NOW)
    assert [guess(terms, login, NOW)[0] for _ in range(attempts.FREE)] == ["login_failed"] * attempts.FREE
    at, waits = NOW, []
    for _ in range(8):
        code, wait = guess(terms, login, at)
        assert code == "login_locked"
        waits.append(wait)
        assert guess(terms, login, at + timedelta(seconds=wait - 1))[0] == "login_locked"
        at += timedelta(seconds=wait)
        assert guess(terms, login, at)[0] == "login_failed"
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert guess(terms, login, at + attempts.FORGOTTEN + timedelta(seconds=1)) == ("login_failed", 0)


def test_a_known_browser_is_not_kept_out_by_who_guesses_elsewhere(terms: Terms) -> None:
    make_organiser(login="chengdu", now=NOW)
    known = sign_in("chengdu", PASSWORD, terms=terms, now=NOW).device
    for _ in range(attempts.FREE):
        guess(terms, "chengdu", NOW)
    with pytest.raises(ServiceError, match="login_locked"):
        sign_in("chengdu", PASSWORD, terms=terms, now=NOW)
    assert sign_in("chengdu", PASSWORD, device=known, terms=terms, now=NOW).cookie
    # It is known for its own login only, and counted too.
    assert guess(terms, "zigong", NOW, device=known)[0] == "login_failed"
    for _ in range(attempts.FREE):
        guess(terms, "chengdu", NOW, device=known)
    assert guess(terms, "chengdu", NOW, device=known)[0] == "login_locked"


def test_a_success_forgets_and_a_password_alone_does_not(terms: Terms, db: Session) -> None:
    make_organiser(login="chengdu", now=NOW)
    for _ in range(attempts.FREE - 1):
        guess(terms, "chengdu", NOW)
    attempts.count("chengdu", b"", NOW)
    attempts.take_back("chengdu", b"", NOW)
    assert db.query(LoginAttempts).one().failures == attempts.FREE - 1
    sign_in("chengdu", PASSWORD, terms=terms, now=NOW)
    assert db.query(LoginAttempts).count() == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=30))
def test_no_wait_is_longer_than_a_quarter_of_an_hour(db: Session, pauses: list[int]) -> None:
    """However often and whenever somebody guesses."""
    attempts.forget("whoever")
    at, waits = NOW, []
    for pause in pauses:
        at += timedelta(seconds=pause)
        try:
            attempts.count("whoever", b"", at)
        except ServiceError as error:
            waits.append(error.details["retry_after"])
    assert all(1 <= wait <= attempts.LONGEST_WAIT for wait in waits)
    attempts.count("whoever", b"", at + timedelta(seconds=attempts.LONGEST_WAIT))


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_device_is_known_for_its_login_and_key_only(login: str, other: str) -> None:
    cookie = attempts.mark_device(login, KEY)
    assert attempts.known_device(cookie, login, ["a new key that has come since, 32+", KEY])
    assert attempts.known_device(cookie, other, [KEY]) == b"" or other == login
    assert attempts.known_device(cookie, login, [KEY[::-1]]) == b""
    assert attempts.known_device(other, login, [KEY]) == b""
    assert attempts.known_device(None, login, [KEY]) == b""


def test_old_failures_are_forgotten(db: Session) -> None:
    attempts.count("old", b"", NOW - attempts.FORGOTTEN - timedelta(seconds=1))
    attempts.count("new", b"", NOW)
    attempts.prune(NOW)
    assert [row.login_hash for row in db.query(LoginAttempts)] == [attempts.hashed("new")]
