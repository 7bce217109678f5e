"""The terms of sessions in these tests."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from apiflask import APIFlask
from sqlalchemy.orm import Session

from service.org.accounts import factor, sessions
from service.org.accounts.sessions import Terms
from service.org.organisers import Organiser
from tests.org.accounts.people import code_at

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.fixture
def terms(app: APIFlask, db: Session) -> Terms:
    return Terms.of(app.config["CHUNSHUI"])


@pytest.fixture
def set_up(terms: Terms) -> Callable[[Organiser, datetime], tuple[str, list[str]]]:
    """Give an organiser an authenticator: its secret and the recovery codes."""

    def give(organiser: Organiser, now: datetime) -> tuple[str, list[str]]:
        factor.begin(organiser.id, key=terms.keys[0])
        secret = factor.pending(organiser.id, "whoever", keys=terms.keys).secret
        return secret, sessions.confirm_factor(organiser, code_at(secret, now), terms=terms, now=now)

    return give
