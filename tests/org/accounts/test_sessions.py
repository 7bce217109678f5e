"""Sessions: two factors, idleness, age; who comes back in."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit.models import Note
from service.errors import ServiceError
from service.org.accounts import factor, sessions
from service.org.accounts.models import RecoveryCode, SecondFactor
from service.org.accounts.sessions import Terms, of_cookie, sign_in
from service.org.organisers import Organiser
from tests.factories import PASSWORD, make_organiser
from tests.org.accounts.conftest import NOW
from tests.org.accounts.people import HALF_MINUTE, code_at

SetUp = Callable[[Organiser, datetime], tuple[str, list[str]]]


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        act()
    return caught.value.code


def test_the_second_factor_is_asked_for_and_each_code_is_good_once(terms: Terms, set_up: SetUp) -> None:
    organiser, _ = make_organiser(login="chengdu", now=NOW)
    secret, recovery_codes = set_up(organiser, NOW)

    def enter(code: str | None, now: datetime) -> str:
        return sign_in("chengdu", PASSWORD, code=code, terms=terms, now=now).cookie

    assert refusal(lambda: enter(code_at(secret, NOW), NOW)) == "login_failed"  # it confirmed the authenticator
    later = NOW + 2 * HALF_MINUTE
    assert refusal(lambda: enter(None, later)) == "second_factor_needed"
    assert refusal(lambda: enter("000000" if code_at(secret, later) != "000000" else "111111", later)) == "login_failed"
    assert enter(code_at(secret, later), later)
    assert refusal(lambda: enter(code_at(secret, later), later)) == "login_failed"
    assert refusal(lambda: enter(code_at(secret, later + 3 * HALF_MINUTE), later)) == "login_failed"
    assert enter(code_at(secret, later + HALF_MINUTE), later)  # a clock that is half a minute fast
    assert enter(recovery_codes[0].lower().replace("-", " "), later)
    assert refusal(lambda: enter(recovery_codes[0], later)) == "login_failed"
    assert enter(recovery_codes[1], later)


def test_secrets_rest_sealed_or_hashed_and_are_sealed_anew(terms: Terms, set_up: SetUp, db: Session) -> None:
    organiser, _ = make_organiser(login="chengdu", now=NOW)
    secret, codes = set_up(organiser, NOW)
    row = db.scalars(select(SecondFactor)).one()
    assert row.secret_ciphertext is not None
    assert secret.encode() not in row.secret_ciphertext
    assert factor.normal(codes[0]).encode() not in [one.code_hash for one in db.scalars(select(RecoveryCode))]
    new = "another secret that only the tests know"
    assert factor.reseal((new, *terms.keys), NOW) == 1
    assert factor.reseal((new, *terms.keys), NOW) == 0
    rotated = db.scalars(select(Note).where(Note.event == "key.rotated")).all()
    assert [(note.actor, note.details) for note in rotated] == [("system", {"what": "second_factors", "rows": 1})]
    later = NOW + 2 * HALF_MINUTE
    assert not factor.passes(organiser.id, code_at(secret, later), keys=terms.keys, now=later)
    assert factor.passes(organiser.id, code_at(secret, later), keys=(new,), now=later)


def test_a_session_ends_by_idleness_and_by_age(terms: Terms) -> None:
    _, cookie = make_organiser(now=NOW)
    at = NOW
    while at + terms.idle / 2 < NOW + terms.life:
        at += terms.idle / 2
        assert of_cookie(cookie, terms=terms, now=at)
    assert refusal(lambda: of_cookie(cookie, terms=terms, now=NOW + terms.life)) == "token_invalid"
    _, idle = make_organiser(now=NOW)
    assert refusal(lambda: of_cookie(idle, terms=terms, now=NOW + terms.idle)) == "token_invalid"


def test_an_open_wall_counts_as_use(terms: Terms) -> None:
    organiser, cookie = make_organiser(now=NOW)
    late = NOW + terms.idle * 0.9

    def still(now: datetime) -> set[int]:
        return sessions.still_open([organiser.session], purpose="activities", terms=terms, now=now)

    assert still(late) == {organiser.session}
    assert of_cookie(cookie, terms=terms, now=NOW + terms.idle * 1.5)
    assert still(NOW + 3 * terms.idle) == set()


def test_without_a_factor_nothing_but_setting_one_up(client: Any, db: Session) -> None:
    """An administrator's office needs two factors whatever the setting says."""
    make_organiser(login="sec", role="security_administrator")
    answer = client.post("/api/v1/organisers/sessions", json={"login": "sec", "password": PASSWORD})
    assert answer.json["organiser"]["second_factor_missing"] is True
    assert client.get("/api/v1/accounts").json["code"] == "second_factor_missing"
    begun = client.post("/api/v1/organisers/me/second-factor", json={"password": PASSWORD})
    assert begun.status_code == 201
    picture = client.get("/api/v1/organisers/me/second-factor/qr.svg")
    assert (picture.content_type, picture.headers["Cache-Control"]) == ("image/svg+xml", "no-store")
    code = code_at(begun.json["secret"], datetime.now().astimezone())
    path = "/api/v1/organisers/me/second-factor/confirmation"
    assert client.post(path, json={"code": "12345"}).json["code"] == "code_wrong"
    confirmed = client.post(path, json={"code": code})
    assert len(set(confirmed.json["recovery_codes"])) == factor.CODES
    assert client.get("/api/v1/organisers/me").json["second_factor_missing"] is False
    assert client.get("/api/v1/accounts").status_code == 200
    assert client.get("/api/v1/organisers/me/second-factor/qr.svg").status_code == 404


def test_a_factor_is_replaced_by_who_has_the_old_one(terms: Terms, set_up: SetUp) -> None:
    organiser, _ = make_organiser(login="chengdu", now=NOW)
    secret, _ = set_up(organiser, NOW)
    later = NOW + 2 * HALF_MINUTE

    def begin(password: str, code: str | None) -> None:
        sessions.begin_factor(organiser, password=password, code=code, terms=terms, now=later)

    assert refusal(lambda: begin("wrong password", code_at(secret, later))) == "login_failed"
    assert refusal(lambda: begin(PASSWORD, None)) == "second_factor_needed"
    assert refusal(lambda: begin(PASSWORD, "00000")) == "code_wrong"
    begin(PASSWORD, code_at(secret, later))
    # The old one is good until the new one is confirmed.
    assert factor.passes(organiser.id, code_at(secret, later + HALF_MINUTE), keys=terms.keys, now=later + HALF_MINUTE)


def test_a_new_password_ends_the_other_sessions(terms: Terms) -> None:
    organiser, cookie = make_organiser(login="chengdu", now=NOW)
    other = sign_in("chengdu", PASSWORD, terms=terms, now=NOW).cookie
    sessions.change_password(organiser, password=PASSWORD, new_password="another password", now=NOW)
    assert of_cookie(cookie, terms=terms, now=NOW)
    assert refusal(lambda: of_cookie(other, terms=terms, now=NOW)) == "token_invalid"
    assert refusal(lambda: sign_in("chengdu", PASSWORD, terms=terms, now=NOW)) == "login_failed"
    assert sign_in("chengdu", "another password", terms=terms, now=NOW + timedelta(seconds=1))
