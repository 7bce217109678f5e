"""Two at once, on the real PostgreSQL: an invitation binds one, a refresh token renews one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from apiflask import APIFlask

from service.errors import ServiceError
from service.extensions import db
from service.org import login
from service.org.models import Denial, Invitation, WechatIdentity
from service.org.wechat import WechatUser
from tests.concurrency import at_once, really_committed
from tests.factories import make_invitation, make_member

NOW = datetime.now(UTC)
ROUNDS, AT_ONCE = 5, 6


@pytest.fixture(autouse=True)
def committed(app: APIFlask) -> Iterator[None]:
    with really_committed():
        yield


def log_in(openid: str, invitation: str) -> login.Login:
    return login.log_in(WechatUser("wx", openid, None), app="mini_program", invitation=invitation, now=NOW)


def codes(results: list[object]) -> list[str]:
    return [result.code for result in results if isinstance(result, ServiceError)]


def test_an_invitation_used_by_many_at_once_binds_one(app: APIFlask) -> None:
    for turn in range(ROUNDS):
        invitation = make_invitation()
        work = [partial(log_in, f"o-{turn}-{n}", invitation) for n in range(AT_ONCE)]
        results: list[object] = [*at_once(app, work)]
        assert codes(results) == ["invitation_invalid"] * (AT_ONCE - 1)
        assert sum(isinstance(result, login.Login) for result in results) == 1
    assert db.session.query(WechatIdentity).count() == ROUNDS


def test_one_person_with_one_invitation_at_once_is_bound_once(app: APIFlask) -> None:
    """A phone that sends many times: each of its requests ends in a log-in."""
    results = at_once(app, [partial(log_in, "o-1", make_invitation())] * AT_ONCE)
    assert [type(result) for result in results] == [login.Login] * AT_ONCE
    assert db.session.query(WechatIdentity).count() == 1


def test_one_person_with_two_invitations_at_once(app: APIFlask) -> None:
    for turn in range(ROUNDS):
        mine, other = make_invitation(), make_invitation()
        work = [partial(log_in, f"o-{turn}", code) for code in (mine, other)]
        results = at_once(app, work)
        assert [type(result) for result in results] == [login.Login, login.Login]
        members = {result.member.id for result in results if isinstance(result, login.Login)}
        assert len(members) == 1
    unused = db.session.query(Invitation).filter(Invitation.used_at.is_(None)).count()
    assert unused == ROUNDS


def test_one_member_with_two_invitations_is_bound_to_one(app: APIFlask) -> None:
    for turn in range(ROUNDS):
        member = make_member()
        invitations = [make_invitation(member=member) for _ in range(2)]
        work = [partial(log_in, f"o-{turn}-{n}", code) for n, code in enumerate(invitations)]
        assert codes([*at_once(app, work)]) == ["invitation_invalid"]


def test_a_refresh_token_used_at_once_renews_one_and_closes_the_session(app: APIFlask) -> None:
    opened = log_in("o-1", make_invitation())
    results = at_once(app, [partial(login.refresh, opened.refresh_token, NOW)] * AT_ONCE)
    assert sum(isinstance(result, login.Login) for result in results) == 1
    assert codes([*results]).count("refresh_reused") == 1
    assert codes([*results]).count("refresh_invalid") == AT_ONCE - 2
    assert db.session.query(Denial).count() == 1
