"""`chunshui organiser link` and `unlink`."""

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from service.config import Config
from service.extensions import db
from service.org.accounts.models import ProviderLink
from tests.commands import chunshui
from tests.concurrency import really_committed
from tests.factories import make_organiser

ISSUER = "https://idp.example"
SETTINGS = {
    "WEB_URL": "https://console.example.org",
    "OIDC_ISSUER": ISSUER,
    "OIDC_CLIENT_ID": "chunshui",
    "OIDC_CLIENT_SECRET": "a secret that only the tests know",
    "OIDC_AMR": "mfa",
}


def linked() -> list[tuple[int, str, str]]:
    db.session.rollback()
    found = db.session.execute(select(ProviderLink.organiser_id, ProviderLink.issuer, ProviderLink.subject))
    return [(row.organiser_id, row.issuer, row.subject) for row in found]


def test_the_operator_links_and_unlinks(
    app: APIFlask, valkey: object, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with really_committed():
        ana, _ = make_organiser(login="ana")
        make_organiser(login="ben")
        without = chunshui(config, "organiser", "link", "ana", "s-1")
        assert (without.exit_code, "OIDC_ISSUER" in without.output) == (2, True)
        for name, value in SETTINGS.items():
            monkeypatch.setenv(name, value)
        assert chunshui(config, "organiser", "link", "ana", "s-1").exit_code == 0
        assert linked() == [(ana.id, ISSUER, "s-1")]
        for login, code in (("ben", "conflict"), ("nobody", "not_found")):
            refused = chunshui(config, "organiser", "link", login, "s-1")
            assert (refused.exit_code, code in refused.output) == (1, True)
        for _ in range(2):
            assert chunshui(config, "organiser", "unlink", "ana").exit_code == 0
            assert linked() == []
