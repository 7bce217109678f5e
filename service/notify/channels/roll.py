"""Which channels this installation has, from its settings."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import redis

from service.config import Config
from service.notify.channels.apns import Apns, ProviderTokens
from service.notify.channels.fcm import AccountTokens, Fcm
from service.notify.channels.jpush import Cids, JPush
from service.notify.channels.sends import Channel
from service.notify.channels.sms import Sms
from service.notify.channels.wechat.messages import State, account_messages, account_notices, mini_program_messages
from service.notify.channels.wechat.tokens import Tokens

# httpx logs every address at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)


def configured(config: Config, valkey: redis.Redis) -> dict[str, Channel]:
    """The channels by name; one whose settings are empty is not there."""
    found: list[Channel] = [*_wechat(config, valkey)]
    if config.apns_key:
        keys = ProviderTokens(key=config.apns_key, key_id=config.apns_key_id, team=config.apns_team)
        found.append(Apns(url=config.apns_url, topic=config.apns_topic, tokens=keys))
    if config.fcm_account and config.fcm_legal_basis:
        account = json.loads(config.fcm_account)
        found.append(Fcm(project=account["project_id"], tokens=AccountTokens(account), url=config.fcm_url))
    if config.jpush_app_key:
        found.append(
            JPush(
                app_key=config.jpush_app_key,
                master_secret=config.jpush_master_secret,
                production=config.jpush_apns_production,
                cids=Cids(valkey),
                url=config.jpush_url,
            )
        )
    if config.sms_url:
        found.append(Sms(url=config.sms_url, secret=config.sms_secret))
    return {channel.name: channel for channel in found}


def _wechat(config: Config, valkey: redis.Redis) -> list[Channel]:
    url, found = config.wechat_api_url, []
    ask = asker(config)
    if config.wechat_appid and config.wechat_secret:
        tokens = Tokens(valkey, appid=config.wechat_appid, secret=config.wechat_secret, ask=ask)
        found.append(mini_program_messages(url, tokens, state=cast(State, config.wechat_message_state)))
    if config.wechat_account_appid and config.wechat_account_secret:
        tokens = Tokens(valkey, appid=config.wechat_account_appid, secret=config.wechat_account_secret, ask=ask)
        found += [make(url, tokens, mini_program=config.wechat_appid) for make in (account_messages, account_notices)]
    return cast(list[Channel], found)


def asker(config: Config) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    """What asks WeChat for a token, about once in two hours: blocking, so that every kind of process can."""
    url = f"{config.wechat_api_url}/cgi-bin/stable_token"
    # A proxy of the environment is for the outside world, not for the stand-in on this machine.
    local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")

    def ask(body: dict[str, Any]) -> Mapping[str, Any]:
        answer = httpx.post(url, json=body, timeout=config.wechat_timeout_seconds, trust_env=not local)
        found = answer.json()
        return found if isinstance(found, dict) else {}

    return ask
