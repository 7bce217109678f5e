"""Binding by what WeChat vouches for, against the stand-in that keeps WeChat's rules."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.clock import now as read_clock
from service.config import Config
from service.notify.notices.models import ACCOUNT, Device
from service.org.access import COOKIE
from service.org.models import Denial, Invitation, Member, WechatIdentity
from service.org.people.binding import unbind
from service.org.people.identity import identify
from service.sandbox.doors import Doors
from service.sandbox.faults import Fault
from service.sandbox.wechat import WeChat
from tests.factories import bearer, make_invitation, make_member, make_organiser

PHONE = "13800000001"


class Sandbox:
    """WeChat's three apps; each has users of its own, joined by unionid."""

    def __init__(self, config: Config) -> None:
        pairs = {
            "mini_program": (config.wechat_appid, config.wechat_secret),
            "official_account": (config.wechat_account_appid, config.wechat_account_secret),
            "mobile_app": (config.wechat_mobile_appid, config.wechat_mobile_secret),
        }
        self.apps = {app: WeChat(appid=appid, secret=secret) for app, (appid, secret) in pairs.items()}
        self.appids = {appid: app for app, (appid, _) in pairs.items()}
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What WeChat answers; the appid says whose users are meant."""
        self.asked.append(request.url.path)
        app = self.appids.get(request.url.params.get("appid", ""), "mini_program")
        target = request.url.raw_path.decode()
        found = Doors(self.apps[app]).answer(request.method, target, request.content)
        if found.body is None:
            raise httpx.ReadError("cut")
        return httpx.Response(found.status, json=found.body)


@pytest.fixture
def sandbox(app: APIFlask, config: Config) -> Iterator[Sandbox]:
    """The application's WeChat, with all three apps in use."""
    kept = {name: app.extensions.pop(name, None) for name in ("wechat", "wechat_tokens")}, app.config["CHUNSHUI"]
    app.config["CHUNSHUI"] = replace(
        config,
        wechat_account_appid="wx account",
        wechat_account_secret="account's secret",
        wechat_mobile_appid="wx mobile",
        wechat_mobile_secret="mobile's secret",
    )
    stand_in = Sandbox(app.config["CHUNSHUI"])
    with httpx.Client(base_url="https://wechat.test", transport=httpx.MockTransport(stand_in.answer)) as client:
        app.extensions["wechat"] = client
        yield stand_in
    app.extensions |= kept[0]
    app.config["CHUNSHUI"] = kept[1]


@pytest.fixture
def member(db: Session) -> Member:
    member = make_member()
    identify(member.id, {"phone": PHONE})
    db.commit()
    return member


class Phone:
    """A WeChat user's phone."""

    def __init__(self, client: FlaskClient, sandbox: Sandbox, openid: str, unionid: str | None = None) -> None:
        self.client, self.sandbox, self.openid, self.unionid = client, sandbox, openid, unionid

    def log_in(self, app: str = "mini_program", **more: Any) -> Any:
        kind = "login" if app == "mini_program" else "oauth"
        code = self.sandbox.apps[app].login(f"{app} {self.openid}", self.unionid, kind=kind)
        return self.client.post("/api/v1/sessions", json={"app": app, "code": code, **more})

    def with_number(self, number: str = PHONE) -> Any:
        wechat = self.sandbox.apps["mini_program"]
        return self.log_in(phone_code=wechat.login(f"mini_program {self.openid}", kind="phone", phone=number))


def code_of(answer: Any) -> str | None:
    return (answer.get_json() or {}).get("code")


def test_the_phone_binds_once(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    phone = Phone(client, sandbox, "a")
    assert phone.with_number().get_json()["member"]["id"] == member.id
    assert phone.log_in().status_code == 201
    asked = sandbox.asked.count("/wxa/business/getuserphonenumber")
    assert phone.with_number("+1 2025550100").status_code == 201  # bound already: nobody asks WeChat, nobody pays
    assert sandbox.asked.count("/wxa/business/getuserphonenumber") == asked == 1
    assert sandbox.asked.count("/cgi-bin/stable_token") == 1


@pytest.mark.parametrize("number", ["13800000002", "+1 13800000001", "12345"])
def test_a_number_that_is_not_on_the_roster(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session, number: str
) -> None:
    assert code_of(Phone(client, sandbox, "a").with_number(number)) == "phone_unknown"
    assert db.query(WechatIdentity).count() == 0


def test_a_second_wechat_user_with_the_number_learns_nothing(
    client: FlaskClient, sandbox: Sandbox, member: Member
) -> None:
    assert Phone(client, sandbox, "a").with_number().status_code == 201
    assert code_of(Phone(client, sandbox, "b").with_number()) == "phone_unknown"


@pytest.mark.parametrize("fields", [{"status": "left"}, {"rehearsal": True}])
def test_only_active_members_are_bound(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session, fields: dict[str, Any]
) -> None:
    for name, value in fields.items():
        setattr(member, name, value)
    db.commit()
    assert code_of(Phone(client, sandbox, "a").with_number()) == "phone_unknown"


def test_codes_are_not_mixed_up(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    wechat = sandbox.apps["mini_program"]
    login, button = wechat.login("mini_program a"), wechat.login("mini_program a", kind="phone", phone=PHONE)
    somebody_elses = wechat.login("mini_program b", kind="phone", phone=PHONE)
    for code, phone_code in ((button, login), (login, wechat.login("mini_program a"))):
        body = {"app": "mini_program", "code": code, "phone_code": phone_code}
        assert code_of(client.post("/api/v1/sessions", json=body)) == "code_invalid"
    body = {"app": "mini_program", "code": wechat.login("mini_program a"), "phone_code": somebody_elses}
    assert code_of(client.post("/api/v1/sessions", json=body)) == "code_invalid"


def test_a_dead_token_is_renewed_once(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    wechat, phone = sandbox.apps["mini_program"], Phone(client, sandbox, "a")
    wechat.fail(Fault("token_dead", times=1))
    assert phone.with_number().status_code == 201
    wechat.fail(Fault("token_dead", times=9))
    assert code_of(Phone(client, sandbox, "b").with_number()) == "wechat_unavailable"
    assert sandbox.asked.count("/wxa/business/getuserphonenumber") == 4


def test_a_phone_code_is_the_mini_programs(client: FlaskClient, sandbox: Sandbox) -> None:
    answer = Phone(client, sandbox, "a").log_in("official_account", phone_code="x")
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["phone_code"])


@pytest.mark.parametrize("app_name", ["official_account", "mobile_app"])
def test_unionid_makes_one_member_of_all_apps(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session, app_name: str
) -> None:
    phone = Phone(client, sandbox, "a", unionid="u-1")
    assert code_of(phone.log_in(app_name)) == "not_bound"
    assert phone.with_number().status_code == 201
    assert phone.log_in(app_name).get_json()["member"]["id"] == member.id
    assert phone.log_in(app_name).status_code == 201
    assert db.query(WechatIdentity).filter_by(member_id=member.id).count() == 2


def test_a_unionid_that_came_later_is_noted(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    phone = Phone(client, sandbox, "a")
    assert phone.with_number().status_code == 201
    phone.unionid = "u-1"
    assert code_of(phone.log_in("mobile_app")) == "not_bound"
    assert phone.log_in().status_code == 201
    assert phone.log_in("mobile_app").get_json()["member"]["id"] == member.id


def test_a_unionid_that_leads_to_two_members_leads_to_none(client: FlaskClient, sandbox: Sandbox, db: Session) -> None:
    for appid in ("x", "y"):
        db.add(WechatIdentity(appid=appid, openid="o", unionid="u-1", member_id=make_member().id))
    db.commit()
    assert code_of(Phone(client, sandbox, "a", unionid="u-1").log_in()) == "not_bound"


def test_anothers_unionid_leads_nowhere(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    assert Phone(client, sandbox, "a", unionid="u-1").with_number().status_code == 201
    for unionid in ("u-2", None):
        assert code_of(Phone(client, sandbox, "b", unionid=unionid).log_in("mobile_app")) == "not_bound"


def test_a_unionid_is_noted_for_that_user_of_that_app_only(
    app: APIFlask, client: FlaskClient, sandbox: Sandbox, member: Member, db: Session
) -> None:
    """And again when WeChat says another one."""
    appid, others = app.config["CHUNSHUI"].wechat_appid, (make_member().id, make_member().id)
    db.add(WechatIdentity(appid=appid, openid="neighbour", unionid="u-8", member_id=others[0]))
    db.add(WechatIdentity(appid="another app", openid="mini_program a", unionid="u-9", member_id=others[1]))
    db.commit()
    for unionid in ("u-1", "u-2"):
        phone = Phone(client, sandbox, "a", unionid=unionid)
        assert phone.with_number().status_code == 201
        db.expire_all()
        found = {row.member_id: row.unionid for row in db.query(WechatIdentity)}
        assert found == {member.id: unionid, others[0]: "u-8", others[1]: "u-9"}


def test_unbinding_one_leaves_everybody_else_bound(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session
) -> None:
    other = make_member()
    db.add(WechatIdentity(appid="wx", openid="o", member_id=other.id))
    make_invitation(member=other)
    used = make_invitation(member=member)
    assert Phone(client, sandbox, "a").log_in(invitation=used).status_code == 201
    assert client.delete("/api/v1/me/binding", headers=bearer(member=member)).status_code == 204
    assert [row.member_id for row in db.query(WechatIdentity)] == [other.id]
    # That an invitation was used stays known.
    left = {row.member_id: row.used_at is not None for row in db.query(Invitation)}
    assert left == {other.id: False, member.id: True}
    assert db.query(Denial).filter_by(member_id=other.id).count() == 0


def test_an_invitation_binds_in_every_app(client: FlaskClient, sandbox: Sandbox, member: Member) -> None:
    answer = Phone(client, sandbox, "a").log_in("official_account", invitation=make_invitation(member=member))
    assert answer.get_json()["member"]["id"] == member.id


def test_who_logs_in_from_the_official_account_is_reached_there_until_unbound(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session
) -> None:
    phone = Phone(client, sandbox, "a", unionid="u-1")
    phone.with_number()
    addresses = select(Device.channel, Device.address).where(Device.member_id == member.id)
    assert db.execute(addresses).all() == []
    for _ in range(2):
        assert phone.log_in("official_account").status_code == 201
    assert [channel for channel, _ in db.execute(addresses)] == [ACCOUNT]
    unbind(member, read_clock())
    assert db.execute(addresses).all() == []


def test_an_app_that_is_not_in_use_is_refused(app: APIFlask, client: FlaskClient, sandbox: Sandbox) -> None:
    app.config["CHUNSHUI"] = replace(app.config["CHUNSHUI"], wechat_mobile_appid="")
    assert Phone(client, sandbox, "a").log_in("mobile_app").status_code == 422
    assert sandbox.asked == []


@pytest.mark.parametrize("by", ["member", "organiser"])
def test_after_unbinding_another_wechat_user_may_be_bound(
    client: FlaskClient, sandbox: Sandbox, member: Member, db: Session, by: str
) -> None:
    old, new = Phone(client, sandbox, "a", unionid="u-1"), Phone(client, sandbox, "b", unionid="u-2")
    login = old.with_number().get_json()
    old.log_in("mobile_app")
    left_over = make_invitation(member=member)
    if by == "member":
        assert client.delete("/api/v1/me/binding", headers=bearer(member=member)).status_code == 204
    else:
        _, cookie = make_organiser(organisation=member.organisation)
        client.set_cookie(COOKIE, cookie)
        assert client.delete(f"/api/v1/members/{member.id}/binding").status_code == 204
    assert db.query(WechatIdentity).count() == 0
    assert db.query(Denial).filter_by(member_id=member.id).count() >= 1
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {login['access_token']}"})
    assert code_of(me) == "token_denied"
    assert code_of(old.log_in("mobile_app")) == "not_bound"
    assert code_of(old.log_in(invitation=left_over)) == "invitation_invalid"
    assert new.with_number().get_json()["member"]["id"] == member.id
