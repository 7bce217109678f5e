"""From settings to channels, and from these to the stand-ins as `chunshui sandbox` runs them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
import redis

from service.config import Config, ConfigError
from service.notify.channels.clients import Clients
from service.notify.channels.http import target
from service.notify.channels.roll import configured
from service.notify.channels.sends import Channel, Outcome, Send
from service.notify.channels.sms import Sms
from service.sandbox.settings import settings
from tests.notify.channels.conftest import DEVICE, TEMPLATE, a_send
from tests.notify.receiver import Receiver, Reply
from tests.ports import free_port
from tests.waiting import eventually

ACCOUNT = json.dumps(dict.fromkeys(("project_id", "private_key", "client_email", "token_uri"), "x"))


def set_up(config: Config, **more: str) -> Config:
    """`config` with settings by their variables' names."""
    found = Config.from_env(
        {"DATABASE_URL": config.database_url, "REDIS_URL": config.redis_url, "SECRET_KEY": config.secret_key, **more}
    )
    found.check()
    return found


@contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """The settings of an installation that talks to a running sandbox."""
    port, apns_port = free_port(), free_port()
    command = [sys.executable, "-m", "service.cli", "sandbox", "--port", str(port), "--apns-port", str(apns_port)]
    with subprocess.Popen(command) as process:
        try:
            told = settings(port=port, apns_port=apns_port)
            eventually(lambda: healthy(told["WECHAT_API_URL"]), within=30)
            yield told
        finally:
            process.terminate()
            assert process.wait(10) == 0


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


async def one_by_each(channels: dict[str, Channel], sends: dict[str, Send]) -> dict[str, Outcome]:
    client = Clients.opened(most_idle=8)
    found = {name: (await channels[name].send(client, [send]))[0] for name, send in sends.items()}
    client.close()
    return found


def test_every_channel_reaches_the_sandbox(config: Config, valkey: redis.Redis) -> None:
    with sandbox() as told:
        url = told["WECHAT_API_URL"]
        account = httpx.get(f"{url}/sandbox/account", trust_env=False).text
        httpx.post(f"{url}/sandbox/credits", json={"openids": ["o"], "template": TEMPLATE}, trust_env=False)
        more = {"FCM_ACCOUNT": account, "FCM_LEGAL_BASIS": "record 7"}
        channels = configured(set_up(config, **told, **more), valkey)
        sends = {"wechat_subscribe": "o", "apns": DEVICE, "fcm": "f", "jpush": "d"}
        found = asyncio.run(one_by_each(channels, {name: a_send(address) for name, address in sends.items()}))
        assert {name: outcome.kind for name, outcome in found.items()} == dict.fromkeys(sends, "done")
        messages = httpx.get(f"{url}/sandbox/messages", trust_env=False).json()["messages"]
        assert [one["openid"] for one in messages] == ["o"]


def test_without_settings_there_are_no_channels(config: Config, valkey: redis.Redis) -> None:
    bare = replace(config, wechat_appid="", wechat_secret="")
    assert configured(bare, valkey) == {}
    assert set(configured(config, valkey)) == {"wechat_subscribe"}
    account = replace(config, wechat_account_appid="wx", wechat_account_secret="s")
    assert set(configured(account, valkey)) == {"wechat_subscribe", "wechat_template", "wechat_notice"}
    assert "sms" in configured(replace(config, sms_url="https://x.example", sms_secret="whsec_MfKQ9r8G"), valkey)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"FCM_ACCOUNT": ACCOUNT}, "FCM_LEGAL_BASIS"),
        ({"FCM_ACCOUNT": "{", "FCM_LEGAL_BASIS": "record 7"}, "FCM_ACCOUNT"),
        ({"FCM_ACCOUNT": "{}", "FCM_LEGAL_BASIS": "record 7"}, "FCM_ACCOUNT"),
        ({"APNS_KEY": "x"}, "APNS_KEY_ID"),
        ({"JPUSH_APP_KEY": "x"}, "JPUSH_MASTER_SECRET"),
        ({"SMS_URL": "https://x.example"}, "SMS_SECRET"),
        ({"WECHAT_MESSAGE_STATE": "released"}, "WECHAT_MESSAGE_STATE"),
    ],
)
def test_settings_that_are_not_whole_stop_the_start(config: Config, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        set_up(config, **wrong)


def test_no_secret_of_a_channel_is_shown(config: Config, valkey: redis.Redis) -> None:
    told = settings(port=1, apns_port=2) | {"SMS_URL": "https://x.example", "SMS_SECRET": "whsec_MfKQ9r8G"}
    shown = repr(configured(set_up(config, **told), valkey)) + repr(set_up(config, **told))
    for name in ("WECHAT_SECRET", "APNS_KEY", "JPUSH_MASTER_SECRET", "SMS_SECRET", "WECHAT_CALLBACK_KEY"):
        assert repr(told[name]) not in shown
    assert "BEGIN" not in shown


def test_a_text_message_is_signed_for_its_gateway(receiver: Receiver) -> None:
    secret, send = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", a_send("+8613800000001")
    receiver.reply = lambda _: Reply(200, body=b'{"id": "sms-1"}')
    sms = Sms(url=receiver.url, secret=secret)
    outcome = asyncio.run(one_by_each({"sms": sms}, {"sms": send}))["sms"]
    assert (outcome.kind, outcome.receipt) == ("done", "sms-1")
    (arrival,) = receiver.arrivals
    assert arrival.verified(secret) == {"to": "+8613800000001", "text": send.text, "key": send.key.hex}
    receiver.reply = lambda _: Reply(429, headers={"Retry-After": "9"})
    assert asyncio.run(one_by_each({"sms": sms}, {"sms": send}))["sms"].after == 9


def test_neither_a_send_nor_where_it_goes_shows_whom_or_what() -> None:
    shown = repr(a_send("o-ana")) + repr(target("https://example.org/x?access_token=abc"))
    assert not [one for one in ("o-ana", "主题党日", "pages/day", "abc") if one in shown]
