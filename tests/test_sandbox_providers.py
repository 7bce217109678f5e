"""The stand-ins for what is sent keep their providers' rules, each asked without the product."""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest

from service.notify.channels.wechat import happenings
from service.notify.channels.wechat.happenings import Chosen
from service.sandbox import apns, events, fcm
from service.sandbox.apns import Apns, Reply
from service.sandbox.command import Calls
from service.sandbox.doors import Doors
from service.sandbox.faults import KINDS, Answer, Fault
from service.sandbox.jpush import APP_KEY, MASTER_SECRET, JPush
from service.sandbox.messages import Messages, Told, wrong_field
from service.sandbox.wechat import APPID, SECRET, WeChat
from tests.notify import receiver as receivers
from tests.notify.receiver import Receiver, receiving
from tests.test_sandbox import Clock

TEMPLATE = "t" * 43
APP = {"appid": APPID, "secret": SECRET, "grant_type": "client_credential"}


def body(answer: Answer) -> dict[str, Any]:
    assert answer.body is not None
    return answer.body


class Stage:
    """WeChat's stand-in with a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wechat = WeChat(clock=self.clock)
        self.messages = Messages(self.wechat, latency=1.0)

    def token(self) -> dict[str, str]:
        return {"access_token": body(self.wechat.stable_token(APP))["access_token"]}

    def send(self, **changes: Any) -> int:
        whole = {"touser": "o-1", "template_id": TEMPLATE, "data": {"thing1": {"value": "好"}}} | changes
        return int(body(self.messages.subscribe(self.token(), whole))["errcode"])


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_two_kinds_of_tokens_know_nothing_of_each_other(stage: Stage) -> None:
    stable = stage.token()["access_token"]
    first, second = (body(stage.wechat.token(APP))["access_token"] for _ in range(2))
    assert len({stable, first, second}) == 3
    assert [stage.wechat.tokens.wrong(one) for one in (stable, first, second)] == [None] * 3
    stage.clock.seconds = 301
    assert [stage.wechat.tokens.wrong(one) for one in (stable, first, second)] == [None, 42001, None]


def test_a_token_is_forced_half_a_minute_apart_and_twenty_times_a_day(stage: Stage) -> None:
    def force() -> str:
        return str(body(stage.wechat.stable_token(APP | {"force_refresh": True}))["access_token"])

    first = force()
    stage.clock.seconds += 29
    assert force() == first
    seen = {first}
    for _ in range(40):
        stage.clock.seconds += 31
        seen.add(force())
    assert len(seen) == 20


@pytest.mark.parametrize(("fault", "errcode"), [("token_dead", 40001), ("token_expired", 42001)])
def test_tokens_die_when_told(stage: Stage, fault: str, errcode: int) -> None:
    stage.messages.credits["o-1", TEMPLATE] = 1
    stage.wechat.fail(Fault(fault, 1))
    assert [stage.send(), stage.send()] == [errcode, 0]


@pytest.mark.parametrize(("fault", "errcode"), [("busy", -1), ("quota", 45009)])
def test_no_token_is_given_when_told(stage: Stage, fault: str, errcode: int) -> None:
    stage.wechat.fail(Fault(fault, 1))
    assert body(stage.wechat.stable_token(APP))["errcode"] == errcode
    assert body(stage.wechat.token(APP | {"secret": "guess"}))["errcode"] == 40125


def test_credits_are_spent_by_success_alone_and_sends_do_not_overlap(stage: Stage) -> None:
    stage.messages.credits["o-1", TEMPLATE] = 2
    assert [stage.send(), stage.send()] == [0, 43108]
    stage.clock.seconds += 1
    stage.wechat.fail(Fault("message", 1, code="45009"))
    assert stage.send() == 45009
    assert stage.send(data={"time1": {"value": "noon"}}) == 47003
    assert stage.send() == 0
    stage.clock.seconds += 1
    assert stage.send() == 43101
    assert [stage.send(touser=""), stage.send(template_id="")] == [40003, 40037]


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"thing1": {"value": "一" * 20}}, None),
        ({"thing1": {"value": "一" * 21}}, "thing1"),
        ({"thing1": {"value": ""}}, "thing1"),
        ({"thing1": {"value": "a\nb"}}, "thing1"),
        ({"thing1": "x"}, "thing1"),
        ({"number1": {"value": "x"}}, "number1"),
        ({"weather1": {"value": "x"}}, "weather1"),
        (None, "data"),
    ],
)
def test_the_field_that_is_wrong_is_named(data: Any, wrong: str | None) -> None:
    assert wrong_field(data) == wrong


def test_only_who_was_there_lately_can_be_checked(stage: Stage) -> None:
    def check() -> dict[str, Any]:
        return body(stage.messages.check(stage.token(), {"content": "好", "openid": "o-1"}))

    assert check()["errcode"] == 61010
    asked = {"appid": APPID, "secret": SECRET, "js_code": stage.wechat.login("o-1"), "grant_type": "authorization_code"}
    stage.wechat.exchange(asked)
    assert check()["result"] == {"suggest": "pass", "label": 100}
    for code, suggest in (("risky 20002", "risky"), ("review 21000", "review")):
        stage.wechat.fail(Fault("verdict", 1, code=code))
        assert check()["result"]["suggest"] == suggest
    stage.clock.seconds = 7201
    assert check()["errcode"] == 61010


def test_an_event_is_sent_again_until_it_is_answered() -> None:
    with receiving() as receiver:
        receiver.reply = lambda _: receivers.Reply(500 if len(receiver.arrivals) == 1 else 200, body=b"success")
        caller = events.Caller(receiver.url, APPID)
        assert asyncio.run(caller.call(events.sent("o", TEMPLATE, 1))) == 2
        assert len({arrival.headers["content-length"] for arrival in receiver.arrivals}) == 1
        receiver.reply = lambda _: receivers.Reply(404)
        assert asyncio.run(caller.call(events.sent("o", TEMPLATE, 1))) == 3


def test_an_answer_that_is_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.1)
    with receiving() as receiver:
        receiver.reply = lambda _: receivers.Reply(
            200, body=b"success", delay=0.5 if len(receiver.arrivals) == 1 else 0
        )
        assert asyncio.run(events.Caller(receiver.url, APPID).call(events.sent("o", TEMPLATE, 1))) == 2


def test_what_became_of_a_message_is_told_and_twice_when_told_to() -> None:
    async def story(receiver: Receiver) -> None:
        wechat = WeChat()
        calls = Calls(wechat, receiver.url, token="sandbox", key="A" * 43)
        for times in (1, 2):
            calls(Told(7, "o-1", TEMPLATE, {}))
            await asyncio.gather(*calls._under_way)
            assert len(receiver.arrivals) == (1 if times == 1 else 3)
            wechat.fail(Fault("duplicate_event", 1))

    with receiving() as receiver:
        receiver.reply = lambda _: receivers.Reply(200, body=b"success")
        asyncio.run(story(receiver))


def pushed(server: Apns, known: dict[str, float] | None = None, *, issued: int = 0, **changes: Any) -> Reply:
    claims = {"iss": changes.pop("team", apns.TEAM), "iat": int(server._clock()) - issued}
    token = jwt.encode(claims, apns.private_key(), algorithm="ES256", headers={"kid": changes.pop("kid", apns.KEY_ID)})
    headers = {
        ":path": "/3/device/" + changes.pop("device", "ab" * 32), "authorization": f"bearer {token}",
        "apns-topic": apns.TOPIC,
    }  # fmt: skip
    return server.judge(headers | {name.replace("_", "-"): text for name, text in changes.items()}, b"{}", known or {})


@pytest.fixture
def apple(stage: Stage) -> Apns:
    return Apns(stage.wechat.faults, lambda: 1_700_000_000 + stage.clock.seconds)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (200, "")),
        ({"kid": "OTHER"}, (403, "InvalidProviderToken")),
        ({"team": "OTHER"}, (403, "InvalidProviderToken")),
        ({"authorization": ""}, (403, "MissingProviderToken")),
        ({"authorization": "bearer x.y.z"}, (403, "InvalidProviderToken")),
        ({"apns_topic": "cn.other"}, (400, "TopicDisallowed")),
        ({"apns_collapse_id": "x" * 65}, (400, "BadCollapseId")),
        ({"device": "xyz"}, (400, "BadDeviceToken")),
    ],
)
def test_apples_rules(apple: Apns, changes: dict[str, Any], expected: tuple[int, str]) -> None:
    reply = pushed(apple, **changes)
    assert (reply.status, reply.reason) == expected


def test_a_provider_token_is_good_for_an_hour_and_not_renewed_at_once(apple: Apns, stage: Stage) -> None:
    assert pushed(apple, issued=3599).status == 200
    assert pushed(apple, issued=3601).reason == "ExpiredProviderToken"
    known: dict[str, float] = {"earlier": apple._clock()}
    assert pushed(apple, known).reason == "TooManyProviderTokenUpdates"
    stage.clock.seconds += 1200
    assert pushed(apple, known).status == 200


def test_a_device_is_gone_since_when(apple: Apns) -> None:
    apple.faults.fail(Fault("apns", 1, code="410 Unregistered"))
    assert pushed(apple) == Reply(410, "Unregistered", int(apple._clock() * 1000))
    assert pushed(apple).status == 200


def test_jpush_answers_a_known_cid_as_before(stage: Stage) -> None:
    server, login = JPush(stage.wechat.faults), jpush_login()
    (cid,) = body(server.cids({"count": "1"}, login))["cidlist"]
    whole = {"cid": cid, "audience": {"registration_id": ["d1"]}}
    first, again = (body(server.push(whole, login)) for _ in range(2))
    assert first == again
    assert len(server.told) == 1
    assert body(server.push({"audience": {"registration_id": ["d1"]}}, login))["msg_id"] != first["msg_id"]


def jpush_login() -> str:
    return "Basic " + base64.b64encode(f"{APP_KEY}:{MASTER_SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("ids", "code"), [([], 1003), (["a b"], 1003), (["d"] * 1001, 1003), (["unknown"], 1011), (["d1", "unknown"], 0)]
)
def test_jpushs_rules(stage: Stage, ids: list[str], code: int) -> None:
    server = JPush(stage.wechat.faults)
    server.known = {"d1"}
    answer = body(server.push({"audience": {"registration_id": ids}}, jpush_login()))
    assert answer.get("error", {"code": 0})["code"] == code


def test_jpush_says_how_long_to_wait(stage: Stage) -> None:
    server = JPush(stage.wechat.faults)
    stage.wechat.fail(Fault("jpush", 1, code="2002", seconds=17))
    answer = server.push({"audience": {"registration_id": ["d1"]}}, jpush_login())
    assert (answer.status, answer.headers["X-Rate-Limit-Reset"]) == (429, "17")
    assert server.push({}, "Basic x").status == 401


def test_google_believes_only_its_own_service_account(stage: Stage) -> None:
    server = fcm.Fcm(stage.wechat.faults)
    assert server.grant(b"assertion=x").status == 400
    account = server.account("http://127.0.0.1:1")
    claims = {"iss": account["client_email"], "aud": account["token_uri"], "exp": int(time.time()) + 60}
    for issuer, status in (("other", 400), (account["client_email"], 200)):
        signed = jwt.encode(claims | {"iss": issuer}, account["private_key"], algorithm="RS256")
        assert server.grant(f"assertion={signed}".encode()).status == status
    assert server.send({}, "Bearer x").status == 401


@pytest.mark.parametrize(("words", "details"), [("INVALID_ARGUMENT", 1), ("INVALID_ARGUMENT message.data[x]", 2)])
def test_both_shapes_of_googles_400(stage: Stage, words: str, details: int) -> None:
    server = fcm.Fcm(stage.wechat.faults)
    server._tokens.add("t")
    stage.wechat.fail(Fault("fcm", 1, code=words))
    answer = server.send({"message": {"token": "d"}}, "Bearer t")
    assert answer.status == 400
    assert len(body(answer)["error"]["details"]) == details


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_told_over_http(kind: str) -> None:
    doors = Doors(WeChat())
    told = json.dumps({"kind": kind, "code": "1", "seconds": 1}).encode()
    assert doors.answer("POST", "/sandbox/faults", told).status == 200
    assert doors.wechat.faults.happens(kind, "anybody") is not None
    assert doors.wechat.faults.happens(kind, "anybody") is None


def test_choices_are_told_as_an_event() -> None:
    told: list[dict[str, Any]] = []
    doors = Doors(WeChat(), tell=told.append)
    for more in ({}, {"nested": True}, {"later": True}):
        made = {"openid": "o-1", "choices": {TEMPLATE: "reject"}} | more
        assert doors.answer("POST", "/sandbox/choices", json.dumps(made).encode()).status == 200
    found = [happenings.read(event) for event in told]
    assert [(one.openid, one.template, one.accepted, one.later) for (one,) in found if isinstance(one, Chosen)] == [
        ("o-1", TEMPLATE, False, later) for later in (False, False, True)
    ]


@pytest.mark.parametrize("path", ["/sandbox/credits", "/sandbox/choices", "/sandbox/devices"])
@pytest.mark.parametrize("told", [b"{}", b"[]", b'{"openids": 7, "devices": 7}'])
def test_nonsense_at_the_new_doors(path: str, told: bytes) -> None:
    assert Doors(WeChat()).answer("POST", path, told).status == 400


def test_what_was_sent_can_be_looked_at() -> None:
    doors = Doors(WeChat())
    doors.answer("POST", "/sandbox/credits", json.dumps({"openids": ["o"], "template": TEMPLATE}).encode())
    token = body(doors.answer("POST", "/cgi-bin/stable_token", json.dumps(APP).encode()))["access_token"]
    whole = json.dumps({"touser": "o", "template_id": TEMPLATE, "data": {"thing1": {"value": "好"}}}).encode()
    doors.answer("POST", f"/cgi-bin/message/subscribe/send?access_token={token}", whole)
    (message,) = body(doors.answer("GET", "/sandbox/messages", b""))["messages"]
    assert (message["openid"], message["data"]) == ("o", {"thing1": "好"})
    assert body(doors.answer("GET", "/sandbox/hooks", b"")) == {"events": []}
