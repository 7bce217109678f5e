"""Logging in through a real OpenID provider, as a browser does; and everything that must not be let in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from apiflask import APIFlask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.audit.models import Note
from service.config import Config
from service.errors import ServiceError
from service.org.accounts import attempts, recovery, sessions
from service.org.accounts.models import ProviderLink
from service.org.accounts.provider import arrivals, client, journeys, links
from service.org.accounts.provider.client import Provider
from service.org.accounts.sessions import Terms
from service.org.models import OrganiserSession
from tests.factories import PASSWORD, make_organiser
from tests.org.accounts.conftest import NOW
from tests.org.accounts.people import cast
from tests.org.accounts.provider import CLIENT, MFA, OTHER, SECRET, RealProvider, running

DOOR, CALLBACK = "/api/v1/organisers/oidc", "/api/v1/organisers/oidc/callback"
ME, OWN = "/api/v1/organisers/me", "/api/v1/organisers/me/provider"
COOKIE, JOURNEY = "chunshui_organiser", "chunshui_journey"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def real() -> Iterator[RealProvider]:
    with running() as provider:
        yield provider


@dataclass
class House:
    """Our side: how the provider is set, and a browser of ours."""

    app: APIFlask
    browser: Any
    real: RealProvider
    config: Config
    providers: list[Provider] = field(default_factory=list)

    def set(self, **settings: Any) -> Provider:
        """Change the settings."""
        self.config = replace(self.config, **settings)
        self.app.config["CHUNSHUI"] = self.config
        self.app.extensions["provider"] = provider = client.connect(self.config)
        assert provider is not None
        self.providers.append(provider)
        return provider

    def depart(self) -> str:
        """Set out; where to."""
        answer = self.browser.get(DOOR)
        assert answer.status_code == 303
        return str(answer.headers["Location"])

    def arrive(self, answer: dict[str, str], **options: Any) -> Any:
        """Come back."""
        return self.browser.get(CALLBACK, query_string=answer, **options)

    def log_in(self, subject: str | None = "ana", **shown: str) -> Any:
        """All the way."""
        return self.arrive(self.real.log_in(self.depart(), subject, **shown))


@pytest.fixture
def house(app: APIFlask, client: Any, real: RealProvider) -> Iterator[House]:
    kept = app.config["CHUNSHUI"], app.extensions["provider"]
    house = House(app, client, real, kept[0])
    settings = {"oidc_issuer": real.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    house.set(web_url="http://localhost", **settings)
    yield house
    app.config["CHUNSHUI"], app.extensions["provider"] = kept
    for provider in house.providers:
        provider._http.close()


@pytest.fixture
def ana(house: House) -> int:
    """An account that is linked."""
    organiser, _ = make_organiser(login="ana")
    links.link(organiser.id, house.real.issuer, "ana", by=None, now=NOW)
    return organiser.id


def altered(address: str, **parameters: str) -> str:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | parameters
    return parts._replace(query=urlencode(query)).geturl()


def newest(db: Session) -> tuple[str, str, dict[str, Any]]:
    note = db.scalars(select(Note).order_by(Note.id.desc())).first()
    assert note is not None
    return note.event, note.outcome, note.details


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        act()
    return caught.value.code


def test_who_is_linked_logs_in(house: House, ana: int, db: Session) -> None:
    answer = house.log_in()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert house.browser.get(ME).json["id"] == ana
    assert newest(db) == ("login", "done", {"two_factors": False})
    assert house.browser.get_cookie(JOURNEY) is None
    # The same as after a password: what ends such a session ends this one.
    assert house.browser.delete("/api/v1/organisers/sessions/current").status_code == 204
    assert house.browser.get(ME).status_code == 401


def test_cookies_are_out_of_reach(house: House, ana: int) -> None:
    away = house.browser.get(DOOR)
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(away.headers["Set-Cookie"].split("; "))
    back = house.arrive(house.real.log_in(away.headers["Location"]))
    session, device, journey = (set(one.split("; ")) for one in back.headers.getlist("Set-Cookie"))
    for kept in (session, device):
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= kept
    assert "Max-Age=0" in journey
    house.set(web_url="https://console.example.org")
    assert "Secure" in house.browser.get(DOOR).headers["Set-Cookie"].split("; ")


def test_over_tls(house: House, ana: int) -> None:
    """Whatever cookies are called there, those that are given are those that are looked for."""
    house.set(web_url="https://localhost")
    away = house.browser.get(DOOR, base_url="https://localhost")
    back = house.arrive(house.real.log_in(away.headers["Location"]), base_url="https://localhost")
    assert back.headers["Location"] == "/"
    assert all("Secure" in one.split("; ") for one in back.headers.getlist("Set-Cookie"))
    assert house.browser.get(ME, base_url="https://localhost").json["id"] == ana


def test_the_way_there_has_state_nonce_and_challenge(house: House) -> None:
    first, second = (parse_qs(urlsplit(house.depart()).query) for _ in range(2))
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]
    assert (first["code_challenge_method"], first["response_type"]) == (["S256"], ["code"])
    assert "acr_values" not in first


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer | {"state": "x" * 43},
        lambda answer: {name: one for name, one in answer.items() if name != "state"},
        lambda answer: answer | {"state": "é"},
        lambda answer: answer | {"iss": "https://another.example"},
        lambda answer: answer | {"code": "x" * 43},
        lambda answer: {name: one for name, one in answer.items() if name != "code"},
    ],
)
def test_an_answer_that_is_not_the_one_we_wait_for(house: House, ana: int, spoil: Callable[[Any], Any]) -> None:
    refused = house.arrive(spoil(house.real.log_in(house.depart())))
    assert (refused.status_code, refused.json["code"]) == (401, "provider_refused")
    assert house.browser.get_cookie(COOKIE) is None


def test_a_code_is_good_once(house: House, ana: int) -> None:
    answer = house.real.log_in(house.depart())
    journey = house.browser.get_cookie(JOURNEY)
    assert journey is not None
    assert house.arrive(answer).status_code == 303
    house.browser.delete_cookie(COOKIE)
    house.browser.set_cookie(JOURNEY, journey.value)
    assert house.arrive(answer).json["code"] == "provider_refused"
    # Also the session of the first time is not given to the second.
    assert house.browser.get_cookie(COOKIE) is None


def test_who_comes_back_in_another_browser_is_refused(house: House, ana: int) -> None:
    answer = house.real.log_in(house.depart())
    house.browser.delete_cookie(JOURNEY)
    assert house.arrive(answer).json["code"] == "provider_refused"
    for forged in ("x", "é", "A" * 200):
        house.browser.set_cookie(JOURNEY, forged)
        assert house.arrive(answer).json["code"] == "provider_refused"


def test_a_token_for_another_nonce(house: House, ana: int) -> None:
    answer = house.real.log_in(altered(house.depart(), nonce="another"))
    assert house.arrive(answer).json["code"] == "provider_refused"


def test_a_code_of_another_challenge(house: House, ana: int) -> None:
    """Who stole a code has not the verifier."""
    answer = house.real.log_in(altered(house.depart(), code_challenge="x" * 43))
    assert house.arrive(answer).json["code"] == "provider_refused"


def test_a_code_of_another_client(house: House, ana: int) -> None:
    answer = house.real.log_in(altered(house.depart(), client_id=OTHER))
    assert house.arrive(answer).json["code"] == "provider_refused"


def token_of(provider: Provider, real: RealProvider, journey: journeys.Journey, subject: str = "ana") -> str:
    answer = real.log_in(provider.address(journey), subject)
    return provider._exchange(answer["code"], journey.verifier)


def test_tokens_are_good_for_us_and_now_only(house: House) -> None:
    ours = house.set()
    now = datetime.now(UTC)
    journey = journeys.begin(now)
    token = token_of(ours, house.real, journey)
    assert ours.read(token, journey.nonce, now).subject == "ana"
    head, body, signature = token.split(".")
    theirs = house.set(oidc_client_id=OTHER)
    for spoilt, at in (
        (token_of(theirs, house.real, journey), now),
        (token, now + timedelta(hours=1, seconds=client.LEEWAY_SECONDS + 1)),
        (token, now - timedelta(seconds=client.LEEWAY_SECONDS + 30)),
        (f"{head}.{body}.{signature[:-6]}AAAAAA", now),
        (f"{head}.{body[:-4]}AAAA.{signature}", now),
        (f"eyJhbGciOiJub25lIn0.{body}.", now),
        ("nonsense", now),
    ):
        assert refusal(partial(ours.read, spoilt, journey.nonce, at)) == "provider_refused"


def test_a_token_of_another_issuer(house: House) -> None:
    with running() as elsewhere:
        ours, journey = house.set(), journeys.begin(NOW)
        token = token_of(house.set(oidc_issuer=elsewhere.issuer), elsewhere, journey)
        assert refusal(lambda: ours.read(token, journey.nonce, datetime.now(UTC))) == "provider_refused"


def test_a_subject_whom_nobody_knows(house: House, ana: int, db: Session) -> None:
    """The same to the letter as any other refusal; names and addresses link nobody."""
    make_organiser(login="eve", name="eve")
    stranger = house.log_in("eve")
    assert newest(db) == ("login.failed", "refused", {"code": "unknown"})
    spoilt = house.arrive(house.real.log_in(house.depart()) | {"state": "x"})
    assert (stranger.status_code, stranger.json) == (spoilt.status_code, spoilt.json)
    cookies = [[one.split("=")[0] for one in answer.headers.getlist("Set-Cookie")] for answer in (stranger, spoilt)]
    assert cookies == [[JOURNEY], [JOURNEY]]


def test_who_gives_up_there_is_back_in_the_console(house: House, ana: int) -> None:
    answer = house.arrive(house.real.log_in(house.depart(), None), headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?problem=provider_refused")


def test_a_journey_ends(house: House, ana: int, terms: Terms) -> None:
    provider = house.set()
    departure = arrivals.depart(provider, terms=terms, now=NOW)
    answer = house.real.log_in(departure.address)
    late = NOW + timedelta(seconds=journeys.SECONDS)
    assert refusal(lambda: arrivals.arrive(provider, departure.cookie, answer, terms=terms, now=late)) == (
        "provider_refused"
    )


def test_what_the_provider_says_of_two_factors(house: House, ana: int, db: Session) -> None:
    """Without it the session is one that lacks a factor, where one is needed."""
    house.set(oidc_acr=f"other, {MFA}", oidc_amr="otp,hwk", second_factor_required=True)
    assert parse_qs(urlsplit(house.depart()).query)["acr_values"] == [f"other {MFA}"]
    for shown, missing in (
        ({"acr": MFA, "amr": "otp"}, False),
        ({"acr": MFA, "amr": "pwd"}, True),
        ({"amr": "otp"}, True),
        ({}, True),
    ):
        assert house.log_in("ana", **shown).status_code == 303
        assert house.browser.get(ME).json["second_factor_missing"] is missing
    house.set(oidc_acr="", oidc_amr="otp")
    house.log_in("ana", amr="otp")
    assert house.browser.get(ME).json["second_factor_missing"] is False


def test_who_has_an_authenticator_is_not_let_in_by_less(
    house: House, ana: int, db: Session, set_up: Callable[[Any, datetime], Any]
) -> None:
    organiser, _ = make_organiser(login="ben")
    set_up(organiser, NOW)
    links.link(organiser.id, house.real.issuer, "ben", by=None, now=NOW)
    assert house.log_in("ben").json["code"] == "provider_refused"
    assert newest(db) == ("login.failed", "refused", {"code": "one_factor"})
    house.set(oidc_amr="otp")
    assert house.log_in("ben", amr="otp").status_code == 303


def test_a_wait_holds_here_too(house: House, ana: int) -> None:
    for _ in range(attempts.FREE):
        house.browser.post("/api/v1/organisers/sessions", json={"login": "ana", "password": "wrong password"})
    locked = house.log_in()
    assert (locked.status_code, locked.json["code"]) == (429, "login_locked")
    assert house.browser.get_cookie(COOKIE) is None


def test_a_provider_that_is_down(house: House, ana: int) -> None:
    answer = house.real.log_in(house.depart())
    house.set(oidc_issuer="http://127.0.0.1:1")
    for refused in (house.browser.get(DOOR), house.arrive(answer | {"iss": "http://127.0.0.1:1"})):
        assert (refused.status_code, refused.json["code"]) == (503, "provider_unavailable")
        assert "Retry-After" in refused.headers
    shown = house.browser.get(DOOR, headers=BROWSER)
    assert (shown.status_code, shown.headers["Location"]) == (303, "/?problem=provider_unavailable")
    # The password's door is not concerned.
    entered = house.browser.post("/api/v1/organisers/sessions", json={"login": "ana", "password": PASSWORD})
    assert entered.status_code == 201


def test_a_wrong_secret_is_for_the_operator_to_see(house: House, ana: int) -> None:
    house.set(oidc_client_secret="another secret that only the tests know")
    assert house.log_in().json["code"] == "provider_unavailable"


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_providers_that_take_one_way_of_authentication(house: House, ana: int, method: str) -> None:
    provider = house.set()
    provider._metadata()["token_endpoint_auth_methods_supported"] = [method]
    assert house.log_in().status_code == 303


def metadata(**changes: Any) -> dict[str, Any]:
    places = {name: f"https://idp.example/{name}" for name in client.ENDPOINTS}
    return {"issuer": "https://idp.example", **places, **changes}


@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(500, json=metadata()),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
        httpx.Response(200, json=metadata(issuer="https://another.example")),
        httpx.Response(200, json=metadata(token_endpoint="http://idp.example/token")),
        httpx.Response(200, json=metadata(jwks_uri=None)),
    ],
)
def test_a_provider_that_talks_nonsense(house: House, said: httpx.Response) -> None:
    provider = house.set(oidc_issuer="https://idp.example")
    provider._http.close()
    provider._http = httpx.Client(transport=httpx.MockTransport(lambda _: said))
    assert refusal(lambda: provider.address(journeys.begin(NOW))) == "provider_unavailable"


@pytest.mark.parametrize("keys", [{}, {"keys": 1}, {"keys": []}, {"keys": [1]}, {"keys": [{"kty": "RSA"}]}])
def test_keys_that_are_none_are_asked_for_again(house: House, keys: Any) -> None:
    provider, journey = house.set(), journeys.begin(NOW)
    token = token_of(provider, house.real, journey)
    address = provider._metadata()["jwks_uri"]
    provider._kept[address] = (float("inf"), keys)
    assert refusal(lambda: provider.read(token, journey.nonce, datetime.now(UTC))) == "provider_unavailable"
    assert provider.read(token, journey.nonce, datetime.now(UTC)).subject == "ana"


def test_a_new_key_is_asked_for(house: House) -> None:
    provider, journey = house.set(), journeys.begin(NOW)
    token = token_of(provider, house.real, journey)
    address = provider._metadata()["jwks_uri"]
    old = httpx.get(address, trust_env=False).json()
    provider._kept[address] = (float("inf"), {"keys": [one | {"kid": "old"} for one in old["keys"]]})
    assert provider.read(token, journey.nonce, datetime.now(UTC)).subject == "ana"


def test_where_none_is_set_there_is_no_door(client: Any) -> None:
    assert client.get(DOOR).json["code"] == "not_found"
    assert client.get(CALLBACK).json["code"] == "not_found"
    assert client.get("/m/settings.json").json["provider"] is None


def test_the_pages_are_told_its_name(house: House) -> None:
    assert house.browser.get("/m/settings.json").json["provider"] == ""
    house.set(oidc_name="政务统一认证")
    assert house.browser.get("/m/settings.json").json["provider"] == "政务统一认证"


def test_an_organiser_links_the_own_account(house: House, db: Session) -> None:
    organiser, cookie = make_organiser(login="ben")
    house.browser.set_cookie(COOKIE, cookie)
    assert house.browser.post(OWN, json={"password": "wrong password"}).json["code"] == "login_failed"
    begun = house.browser.post(OWN, json={"password": PASSWORD})
    assert begun.status_code == 201
    answer = house.real.log_in(begun.json["url"], "ben")
    # What comes from another site has no strict cookie with it.
    house.browser.delete_cookie(COOKIE)
    assert (house.arrive(answer).status_code, house.browser.get_cookie(COOKIE)) == (303, None)
    assert newest(db) == ("account.changed", "done", {"change": "provider_linked"})
    house.log_in("ben")
    assert house.browser.get(ME).json["id"] == organiser.id
    house.browser.set_cookie(COOKIE, cookie)
    assert house.browser.delete(OWN).status_code == 204
    assert house.browser.get(ME).status_code == 200
    assert newest(db) == ("account.changed", "done", {"change": "provider_unlinked"})
    assert house.browser.delete(OWN).status_code == 204
    assert house.log_in("ben").json["code"] == "provider_refused"


def test_linking_needs_the_session_still_open(house: House, db: Session) -> None:
    _, cookie = make_organiser(login="ben")
    house.browser.set_cookie(COOKIE, cookie)
    begun = house.browser.post(OWN, json={"password": PASSWORD})
    answer = house.real.log_in(begun.json["url"], "ben")
    house.browser.delete("/api/v1/organisers/sessions/current")
    assert house.arrive(answer).json["code"] == "provider_refused"
    assert db.scalars(select(func.count()).select_from(ProviderLink)).one() == 0


def test_without_the_second_factor_nobody_links(house: House) -> None:
    house.set(second_factor_required=True)
    make_organiser(login="ben")
    house.browser.post("/api/v1/organisers/sessions", json={"login": "ben", "password": PASSWORD})
    assert house.browser.post(OWN, json={"password": PASSWORD}).json["code"] == "second_factor_missing"


def test_a_subject_is_one_accounts(house: House, ana: int, db: Session) -> None:
    organiser, cookie = make_organiser(login="ben")
    links.link(organiser.id, house.real.issuer, "ben", by=None, now=NOW)
    house.browser.set_cookie(COOKIE, cookie)
    begun = house.browser.post(OWN, json={"password": PASSWORD})
    # Nobody is told that another account has it.
    assert house.arrive(house.real.log_in(begun.json["url"], "ana")).json["code"] == "provider_refused"
    assert refusal(lambda: links.link(organiser.id, house.real.issuer, "ana", by=None, now=NOW)) == "conflict"
    links.link(organiser.id, house.real.issuer, "another", by=None, now=NOW)
    assert links.account_of(house.real.issuer, "ben") is None
    assert links.account_of("https://another.example", "ana") is None
    count = db.scalars(select(func.count(Note.id))).one()
    links.link(ana, house.real.issuer, "ana", by=None, now=NOW)
    assert db.scalars(select(func.count(Note.id))).one() == count


def test_an_administrator_unlinks_and_sessions_end(house: House, db: Session) -> None:
    people = cast(NOW)
    links.link(people.li.id, house.real.issuer, "li", by=None, now=NOW)
    assert refusal(lambda: links.unlink_for(people.sec, people.li.id, NOW)) == "not_found"
    links.unlink_for(people.sys, people.li.id, NOW)
    ended = db.scalars(select(OrganiserSession.revoked_at).where(OrganiserSession.organiser_id == people.li.id)).all()
    assert ended == [NOW]
    assert house.log_in("li").json["code"] == "provider_refused"


def test_a_recovery_takes_the_link_away(house: House, ana: int, terms: Terms) -> None:
    code = recovery.issue_now(ana, NOW)
    sessions.recover("ana", code=code, password="a new password of hers", terms=terms, now=NOW)
    assert links.account_of(house.real.issuer, "ana") is None
