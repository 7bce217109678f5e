"""WeChat calls back: through the real door, from a stand-in that seals and signs by itself."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from service.config import Config, ConfigError
from service.errors import ServiceError
from service.extensions import db as database
from service.notify.callbacks import rules
from service.notify.callbacks.models import WechatEvent
from service.notify.channels.wechat.happenings import Chosen, Happening
from service.sandbox import events

NOW = datetime.now(UTC)
ONE = "a" * 43
DOORS = {"mini-program": "wxmini", "official-account": "wxaccount"}


@pytest.fixture
def app(room: APIFlask) -> Iterator[APIFlask]:
    kept: Config = room.config["CHUNSHUI"]
    room.config["CHUNSHUI"] = replace(
        kept,
        wechat_appid="wxmini",
        wechat_callback_token="sandbox",
        wechat_callback_key="A" * 43,
        wechat_account_appid="wxaccount",
        wechat_account_callback_token="sandbox",
        wechat_account_callback_key="B" * 42 + "A",
    )
    with room.app_context():
        yield room
        database.session.rollback()
        database.session.execute(text("TRUNCATE wechat_events"))
        database.session.commit()
    room.config["CHUNSHUI"] = kept


@pytest.fixture
def db(app: APIFlask) -> Session:
    return database.session()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def caller(app: str = "mini-program") -> events.Caller:
    key = {"mini-program": "A" * 43, "official-account": "B" * 42 + "A"}[app]
    return events.Caller("", DOORS[app], key=key, as_xml=app == "official-account")


def push(client: FlaskClient, event: dict[str, Any], app: str = "mini-program", **changes: Any) -> TestResponse:
    query, body = caller(app).request(event)
    body = changes.pop("body", body)
    return client.post(f"/api/v1/wechat/{app}/push", query_string=query | changes, data=body)


def kept(db: Session) -> list[WechatEvent]:
    db.rollback()
    return list(db.scalars(select(WechatEvent).order_by(WechatEvent.id)))


@pytest.mark.parametrize("app_name", DOORS)
def test_an_event_is_answered_at_once_and_kept_once(client: FlaskClient, db: Session, app_name: str) -> None:
    event = events.popup("o-ana", (ONE, "accept"))
    for _ in range(3):
        answer = push(client, event, app_name)
        assert (answer.status_code, answer.text) == (200, "success")
    (row,) = kept(db)
    assert (row.app, row.handled_at) == (DOORS[app_name], None)


def test_the_same_event_of_two_apps_is_two(client: FlaskClient, db: Session) -> None:
    event = events.popup("o-ana", (ONE, "accept"))
    for app_name in DOORS:
        push(client, event, app_name)
    assert len(kept(db)) == 2


def test_what_a_database_would_refuse_is_kept_too(client: FlaskClient, db: Session) -> None:
    event = events.popup("o-ana", (ONE, "accept")) | {"Odd": "\x00\ud800"}
    assert push(client, event).text == "success"
    assert len(kept(db)) == 1


def test_what_we_have_no_use_for_is_answered_and_not_kept(client: FlaskClient, db: Session) -> None:
    event = {"ToUserName": "gh", "FromUserName": "o-ana", "CreateTime": 1, "MsgType": "text", "Content": "你好"}
    assert push(client, event).text == "success"
    assert kept(db) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"msg_signature": "0" * 40},
        {"msg_signature": ""},
        {"nonce": "1"},
        {"timestamp": "1"},
        {"timestamp": "x"},
        {"encrypt_type": "raw"},
        {"encrypt_type": ""},
        {"body": b'{"ToUserName": "gh", "Event": "subscribe_msg_popup_event"}'},
        {"body": b'{"Encrypt": 7}'},
        {"body": b"<xml>"},
        {"body": b""},
    ],
)
def test_what_is_not_wechats_is_refused(client: FlaskClient, db: Session, changes: dict[str, Any]) -> None:
    answer = push(client, events.popup("o-ana", (ONE, "accept")), **changes)
    assert (answer.status_code, answer.json and answer.json["code"]) == (403, "callback_refused")
    assert kept(db) == []


def test_the_other_signature_alone_opens_nothing(client: FlaskClient) -> None:
    query, body = caller().request(events.popup("o-ana", (ONE, "accept")))
    plain = query | {"msg_signature": query["signature"]}
    assert client.post("/api/v1/wechat/mini-program/push", query_string=plain, data=body).status_code == 403


def test_an_old_call_is_not_taken_again(app: APIFlask, db: Session) -> None:
    seal = rules.seal_of("mini-program", app.config["CHUNSHUI"])
    query, body = caller().request(events.popup("o-ana", (ONE, "accept")))
    rules.receive(seal, query, body, NOW)
    with pytest.raises(ServiceError):
        rules.receive(seal, query, body, NOW + timedelta(hours=2))
    assert len(kept(db)) == 1


def test_a_greeting(client: FlaskClient) -> None:
    query = {"timestamp": "1714036504", "nonce": "1514711492", "echostr": "4375120948345356249"}
    for path, status in (("mini-program", 200), ("other", 404)):
        signed = query | {"signature": events.sign("sandbox", query["timestamp"], query["nonce"])}
        answer = client.get(f"/api/v1/wechat/{path}/push", query_string=signed)
        assert answer.status_code == status
    assert client.get("/api/v1/wechat/mini-program/push", query_string=query).status_code == 403
    found = client.get("/api/v1/wechat/mini-program/push", query_string=signed)
    assert (found.text, found.mimetype) == ("4375120948345356249", "text/plain")


def test_an_app_without_a_message_push_has_no_such_door(app: APIFlask, client: FlaskClient) -> None:
    app.config["CHUNSHUI"] = replace(app.config["CHUNSHUI"], wechat_callback_token="")
    assert push(client, events.popup("o-ana", (ONE, "accept"))).status_code == 404


def test_listeners_hear_once_and_nothing_of_the_person_is_left(client: FlaskClient, db: Session) -> None:
    heard: list[tuple[Happening, str]] = []
    push(client, events.popup("o-ana", (ONE, "accept")))
    assert rules.hand_on((), NOW) == 0
    for expected in (1, 0):
        assert rules.hand_on([lambda one, app, _: heard.append((one, app))], NOW) == expected
    assert heard == [(Chosen(openid="o-ana", template=ONE, accepted=True, later=False), "wxmini")]
    (row,) = kept(db)
    assert (row.event, row.handled_at is not None) == ("", True)


def test_an_event_that_fails_holds_up_no_other_and_writes_nothing(client: FlaskClient, db: Session) -> None:
    heard = []
    for openid in ("o-ana", "o-ben"):
        push(client, events.popup(openid, (ONE, "accept")))

    def listener(happening: Happening, *_: object) -> None:
        assert isinstance(happening, Chosen)
        if happening.openid == "o-ana":
            db.execute(text("UPDATE wechat_events SET app = 'touched'"))
            raise RuntimeError
        heard.append(happening.openid)

    for _ in range(rules.MOST_ATTEMPTS + 3):
        rules.hand_on([listener], NOW)
    assert heard == ["o-ben"]
    ana, ben = kept(db)
    assert (ana.attempts, ana.handled_at, ben.attempts) == (rules.MOST_ATTEMPTS, None, 1)
    assert ben.handled_at is not None
    assert {ana.app, ben.app} == {"wxmini"}


def test_events_are_forgotten_after_a_day(client: FlaskClient, db: Session) -> None:
    push(client, events.popup("o-ana", (ONE, "accept")))
    assert rules.prune(datetime.now(UTC) + timedelta(hours=23)) == 0
    assert rules.prune(datetime.now(UTC) + timedelta(hours=25)) == 1


@pytest.mark.parametrize("key", ["A" * 42, "A" * 44, "!" * 43])
def test_a_key_that_is_none_stops_the_start(config: Config, key: str) -> None:
    with pytest.raises(ConfigError, match="WECHAT_CALLBACK_KEY"):
        replace(config, wechat_callback_key=key).check()
