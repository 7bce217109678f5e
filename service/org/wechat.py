"""The only caller of WeChat's server API: exchanging a log-in code for the WeChat user who got it.

A code is good once. After a time-out it may be spent although no answer came, so nothing here is ever sent twice:
the client asks WeChat for a fresh code. Addresses carry the app's secret and are never logged.
"""

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from flask import current_app

from service.config import Config
from service.errors import ServiceError

log = logging.getLogger(__name__)
# httpx logs every address at INFO; ours have the secret in the query.
logging.getLogger("httpx").setLevel(logging.WARNING)

BUSY = frozenset({-1, 45009, 45011})
CODE_INVALID = frozenset({40029, 40163})
RISK = 40226


@dataclass(frozen=True, slots=True)
class WechatUser:
    """A WeChat user as one app sees him; `unionid` joins the apps of one Open Platform account."""

    appid: str
    openid: str
    unionid: str | None


def connect(config: Config) -> httpx.Client:
    """A client with kept-alive connections; it opens none before its first use."""
    # A proxy of the environment is for the outside world, not for the stand-in on this machine.
    local = urlsplit(config.wechat_api_url).hostname in ("localhost", "127.0.0.1", "::1")
    return httpx.Client(base_url=config.wechat_api_url, timeout=config.wechat_timeout_seconds, trust_env=not local)


def exchange(code: str) -> WechatUser:
    """The WeChat user of a `wx.login` code; ServiceError code_invalid, risk_refused or wechat_unavailable."""
    config: Config = current_app.config["CHUNSHUI"]
    query = {
        "appid": config.wechat_appid,
        "secret": config.wechat_secret,
        "js_code": code,
        "grant_type": "authorization_code",
    }
    answer = call("GET", "/sns/jscode2session", params=query)
    check(answer)
    openid, unionid = answer.get("openid"), answer.get("unionid")
    if not openid or not isinstance(openid, str):
        log.error("jscode2session: an answer without openid")
        raise ServiceError("wechat_unavailable")
    return WechatUser(config.wechat_appid, openid, str(unionid) if unionid else None)


def mint_code(openid: str) -> str:
    """A log-in code for `openid` from the sandbox that stands in for WeChat in the demo."""
    codes = call("POST", "/sandbox/codes", json={"openid": openid}).get("codes")
    if not isinstance(codes, list) or not codes:
        raise ServiceError("wechat_unavailable")
    return str(codes[0])


def call(method: str, path: str, **request: Any) -> dict[str, Any]:
    """The JSON object that WeChat answers, sent once; ServiceError wechat_unavailable without one."""
    client: httpx.Client = current_app.extensions["wechat"]
    try:
        answer = client.request(method, path, **request).json()
    except (httpx.HTTPError, ValueError) as error:
        # The type only: an error's text may quote the address.
        log.warning("WeChat did not answer %s: %s", path, type(error).__name__)
        raise ServiceError("wechat_unavailable") from None
    if not isinstance(answer, dict):
        raise ServiceError("wechat_unavailable")
    return answer


def check(answer: dict[str, Any]) -> None:
    """Raise what WeChat's errcode means; an absent one means success."""
    errcode = number(answer.get("errcode", 0))
    if errcode in CODE_INVALID:
        raise ServiceError("code_invalid")
    if errcode == RISK:
        raise ServiceError("risk_refused")
    if errcode in BUSY:
        raise ServiceError("wechat_unavailable")
    if errcode != 0:
        # Wrong appid or secret, or a code we do not know: for the operator to see, not for the member.
        log.error("jscode2session: errcode %s: %s", errcode, str(answer.get("errmsg", ""))[:200])
        raise ServiceError("wechat_unavailable")


def number(value: Any) -> int | None:
    """An errcode, which comes as number or as text; None if it is neither."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
