"""A member's log-in over HTTP: binding, tokens, rotation, logging out; and every refusal."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.org.models import Invitation, MemberSession, RefreshToken, WechatIdentity
from tests.factories import make_invitation, make_member, make_organisation, make_place, make_token
from tests.org.conftest import WeChat

SESSIONS, REFRESH = "/api/v1/sessions", "/api/v1/sessions/refresh"


def log_in(client: FlaskClient, code: str, **more: Any) -> Any:
    return client.post(SESSIONS, json={"app": "mini_program", "code": code, **more})


def refused(answer: Any) -> tuple[int, str]:
    assert answer.content_type.startswith("application/problem+json")
    return answer.status_code, answer.json["code"]


def bearer_of(answer: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json['access_token']}"}


def test_bind_once_then_log_in_without_invitation(client: FlaskClient, wechat: WeChat) -> None:
    branch = make_organisation(name="茨竹镇流动党员支部")
    member = make_member(organisation=branch, place=make_place())

    first = log_in(client, wechat.code_for("o-1"), invitation=make_invitation(member=member))
    second = log_in(client, wechat.code_for("o-1"))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.headers["Cache-Control"] == "no-store"
    assert second.json["member"] == {
        "id": member.id,
        "organisation": {"id": branch.id, "name": "茨竹镇流动党员支部"},
        "place": {"code": "540102", "name": "城关区"},
    }
    assert second.json["expires_in"] > 3600
    me = client.get("/api/v1/me", headers=bearer_of(second))
    assert me.json == second.json["member"]


def test_a_member_without_a_known_place(client: FlaskClient, wechat: WeChat) -> None:
    answer = log_in(client, wechat.code_for("o-1"), invitation=make_invitation())
    assert answer.json["member"]["place"] is None


def test_an_invitation_is_typed_as_people_type(client: FlaskClient, wechat: WeChat) -> None:
    code = make_invitation().lower().replace("-", " ")
    assert log_in(client, wechat.code_for("o-1"), invitation=code).status_code == 201


def test_unbound_without_invitation(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    assert refused(log_in(client, wechat.code_for("o-1"))) == (403, "not_bound")
    assert db.query(MemberSession).count() == 0


def test_an_invitation_works_once(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    invitation = make_invitation()
    assert log_in(client, wechat.code_for("o-1"), invitation=invitation).status_code == 201
    assert refused(log_in(client, wechat.code_for("o-2"), invitation=invitation)) == (403, "invitation_invalid")
    assert db.query(WechatIdentity).count() == 1


def test_a_used_invitation_stays_used_when_the_binding_is_undone(
    client: FlaskClient, wechat: WeChat, db: Session
) -> None:
    invitation = make_invitation()
    log_in(client, wechat.code_for("o-1"), invitation=invitation)
    db.query(WechatIdentity).delete()
    db.commit()
    assert refused(log_in(client, wechat.code_for("o-1"), invitation=invitation)) == (403, "invitation_invalid")


def test_a_repeated_binding_leaves_the_invitation_alone(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    """A phone that lost the first answer sends a fresh code and the same invitation."""
    invitation = make_invitation()
    log_in(client, wechat.code_for("o-1"), invitation=invitation)
    assert log_in(client, wechat.code_for("o-1"), invitation=invitation).status_code == 201
    unused = make_invitation()
    assert log_in(client, wechat.code_for("o-1"), invitation=unused).status_code == 201
    assert db.query(Invitation).filter(Invitation.used_at.is_(None)).count() == 1


def test_expired_unknown_and_superfluous_invitations(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    member = make_member()
    log_in(client, wechat.code_for("o-1"), invitation=make_invitation(member=member))
    expired = make_invitation(now=datetime.now(UTC) - timedelta(days=31))
    for invitation in (expired, "ABCD-EFGH-JKLM-NPQR", make_invitation(member=member)):
        answer = log_in(client, wechat.code_for("o-2"), invitation=invitation)
        assert refused(answer) == (403, "invitation_invalid")
    assert db.query(WechatIdentity).count() == 1


def test_who_has_left_cannot_log_in(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    member = make_member()
    refresh = log_in(client, wechat.code_for("o-1"), invitation=make_invitation(member=member)).json
    member.status = "left"
    db.commit()
    assert refused(log_in(client, wechat.code_for("o-1"))) == (403, "forbidden")
    again = client.post(REFRESH, json={"refresh_token": refresh["refresh_token"]})
    assert refused(again) == (401, "refresh_invalid")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"errcode": -1, "errmsg": "system error"}, (503, "wechat_unavailable")),
        ({"errcode": 45011}, (503, "wechat_unavailable")),
        ({"errcode": "40029"}, (401, "code_invalid")),
        ({"errcode": 40163}, (401, "code_invalid")),
        ({"errcode": 40226}, (403, "risk_refused")),
        ({"errcode": 40125, "errmsg": "invalid appsecret"}, (503, "wechat_unavailable")),
        ({"errcode": "what"}, (503, "wechat_unavailable")),
        ({"errcode": 0}, (503, "wechat_unavailable")),
        ({"openid": 7}, (503, "wechat_unavailable")),
        ("<html>bad gateway</html>", (503, "wechat_unavailable")),
        (httpx.ReadTimeout("too slow"), (503, "wechat_unavailable")),
        (httpx.ConnectError("refused"), (503, "wechat_unavailable")),
    ],
)
def test_what_wechat_answers(
    client: FlaskClient,
    wechat: WeChat,
    db: Session,
    caplog: pytest.LogCaptureFixture,
    reply: Any,
    expected: tuple[int, str],
) -> None:
    caplog.set_level(logging.DEBUG)
    wechat.replies["the-code"] = reply
    answer = log_in(client, "the-code", invitation=make_invitation())
    assert refused(answer) == expected
    assert ("Retry-After" in answer.headers) == (expected[0] == 503)
    # A time-out may have spent the code: it is never sent a second time.
    assert len(wechat.asked) == 1
    assert db.query(WechatIdentity).count() == 0
    assert "secret of the stand-in" not in caplog.text


def test_success_may_say_errcode_0(client: FlaskClient, wechat: WeChat) -> None:
    code = wechat.code_for("o-1", errcode=0, unionid="u-1")
    assert log_in(client, code, invitation=make_invitation()).status_code == 201
    query = dict(wechat.asked[0].url.params)
    assert query == {
        "appid": "wx0123456789abcdef",
        "secret": "secret of the stand-in",
        "js_code": code,
        "grant_type": "authorization_code",
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "x"},
        {"app": "mini_program"},
        {"app": "somebody-elses", "code": "x"},
        {"app": "mini_program", "code": 5},
        {"app": "mini_program", "code": ""},
        {"app": "mini_program", "code": "nul\0inside"},
        {"app": "mini_program", "code": "x" * 257},
        {"app": "mini_program", "code": "x", "invitation": ["a"]},
        {"app": "mini_program", "code": "x", "invitation": "nul\0"},
        {"app": "mini_program", "code": "x", "isAdmin": True},
        "text",
    ],
)
def test_bad_bodies_reach_nobody(client: FlaskClient, wechat: WeChat, body: Any) -> None:
    assert refused(client.post(SESSIONS, json=body)) == (422, "validation")
    assert wechat.asked == []


def test_refresh_rotates(client: FlaskClient, wechat: WeChat) -> None:
    opened = log_in(client, wechat.code_for("o-1"), invitation=make_invitation())
    renewed: Any = client.post(REFRESH, json={"refresh_token": opened.json["refresh_token"]})
    assert renewed.status_code == 200
    assert renewed.json["member"] == opened.json["member"]
    assert renewed.json["refresh_token"] != opened.json["refresh_token"]
    assert client.get("/api/v1/me", headers=bearer_of(renewed)).status_code == 200
    third = client.post(REFRESH, json={"refresh_token": renewed.json["refresh_token"]})
    assert third.status_code == 200


def test_a_second_use_closes_the_session(client: FlaskClient, wechat: WeChat) -> None:
    opened = log_in(client, wechat.code_for("o-1"), invitation=make_invitation())
    renewed: Any = client.post(REFRESH, json={"refresh_token": opened.json["refresh_token"]})
    reused = client.post(REFRESH, json={"refresh_token": opened.json["refresh_token"]})
    assert refused(reused) == (401, "refresh_reused")
    for token in (opened.json["refresh_token"], renewed.json["refresh_token"]):
        assert refused(client.post(REFRESH, json={"refresh_token": token})) == (401, "refresh_invalid")
    for answer in (opened, renewed):
        assert refused(client.get("/api/v1/me", headers=bearer_of(answer))) == (401, "token_denied")
    assert log_in(client, wechat.code_for("o-1")).status_code == 201


@pytest.mark.parametrize("token", ["unknown", "x" * 256])
def test_unknown_refresh_tokens(client: FlaskClient, token: str) -> None:
    assert refused(client.post(REFRESH, json={"refresh_token": token})) == (401, "refresh_invalid")


def test_an_expired_refresh_token(client: FlaskClient, wechat: WeChat, db: Session) -> None:
    opened = log_in(client, wechat.code_for("o-1"), invitation=make_invitation())
    db.query(RefreshToken).update({"expires_at": datetime.now(UTC)})
    db.commit()
    answer = client.post(REFRESH, json={"refresh_token": opened.json["refresh_token"]})
    assert refused(answer) == (401, "refresh_invalid")


def test_log_out_ends_this_session_only(client: FlaskClient, wechat: WeChat) -> None:
    """In the same second: the old token is refused, the other phone's and the next log-in's are good."""
    here = log_in(client, wechat.code_for("o-1"), invitation=make_invitation())
    there = log_in(client, wechat.code_for("o-1"))
    assert client.delete("/api/v1/sessions/current", headers=bearer_of(here)).status_code == 204
    after = log_in(client, wechat.code_for("o-1"))
    assert refused(client.get("/api/v1/me", headers=bearer_of(here))) == (401, "token_denied")
    for answer in (there, after):
        assert client.get("/api/v1/me", headers=bearer_of(answer)).status_code == 200
    again = client.post(REFRESH, json={"refresh_token": here.json["refresh_token"]})
    assert refused(again) == (401, "refresh_invalid")


def test_tokens_that_are_none(client: FlaskClient) -> None:
    good = make_token()
    old = make_token(now=datetime.now(UTC) - timedelta(days=2))
    for header, expected in (
        (None, "token_missing"),
        ("Basic dXNlcg==", "token_missing"),
        ("Bearer ", "token_missing"),
        ("Bearer nonsense", "token_invalid"),
        (f"Bearer {good[:-2]}", "token_invalid"),
        (f"Bearer x{good}", "token_invalid"),
        (f"Bearer {old}", "token_expired"),
    ):
        headers = {"Authorization": header} if header is not None else {}
        assert refused(client.get("/api/v1/me", headers=headers)) == (401, expected)


def test_problems_speak_the_askers_language(client: FlaskClient) -> None:
    for language, title in (("zh-CN", "请先登录"), ("en-GB,en;q=0.8", "Log in first")):
        answer: Any = client.get("/api/v1/me", headers={"Accept-Language": language})
        assert answer.json["title"] == title


def test_the_demos_door_is_shut_elsewhere(client: FlaskClient) -> None:
    assert refused(client.post("/api/v1/demo/guests")) == (404, "not_found")
