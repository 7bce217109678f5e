"""The only caller of WeChat's server API: exchanging codes for the WeChat user who got them, and for his phone.

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
from service.notify.channels.wechat.answers import TOKEN_DEAD
from service.notify.channels.wechat.tokens import TokenRefusedError, Tokens

log = logging.getLogger(__name__)
# httpx logs every address at INFO; ours have the secret in the query.
logging.getLogger("httpx").setLevel(logging.WARNING)

BUSY = frozenset({-1, 45009, 45011})
CODE_INVALID = frozenset({40029, 40163})
RISK = 40226
STABLE_TOKEN = "/cgi-bin/stable_token"  # noqa: S105 - a path
APPS = ("mini_program", "official_account", "mobile_app")


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


def exchange(code: str, app: str = "mini_program") -> WechatUser:
    """The WeChat user of a log-in code of one of APPS; ServiceError code_invalid, risk_refused, wechat_unavailable."""
    appid, secret = credentials(app)
    if app == "mini_program":
        path, query = "/sns/jscode2session", {"js_code": code}
    else:
        path, query = "/sns/oauth2/access_token", {"code": code}
    query |= {"appid": appid, "secret": secret, "grant_type": "authorization_code"}
    answer = call("GET", path, params=query)
    check(path, answer)
    if answer.get("is_snapshotuser"):
        # The preview of a page has a user of its own, who is nobody.
        raise ServiceError("code_invalid")
    openid, unionid = answer.get("openid"), answer.get("unionid")
    if not openid or not isinstance(openid, str):
        log.error("%s: an answer without openid", path)
        raise ServiceError("wechat_unavailable")
    return WechatUser(appid, openid, str(unionid) if unionid else None)


def credentials(app: str) -> tuple[str, str]:
    """The appid and secret of one of APPS; ServiceError validation if it is not in use here."""
    config: Config = current_app.config["CHUNSHUI"]
    appid, secret = {
        "mini_program": (config.wechat_appid, config.wechat_secret),
        "official_account": (config.wechat_account_appid, config.wechat_account_secret),
        "mobile_app": (config.wechat_mobile_appid, config.wechat_mobile_secret),
    }[app]
    if not appid and app != "mini_program":
        raise ServiceError("validation", errors={"app": ["Not in use here."]})
    return appid, secret


def phone_number(code: str, user: WechatUser) -> str:
    """The Chinese mobile number that `user` let the mini-program have, by the code of the phone button, good once.

    ServiceError code_invalid, phone_unknown for a foreign number, wechat_unavailable.
    """
    path = "/wxa/business/getuserphonenumber"
    body = {"code": code, "openid": user.openid}
    token = access_token()
    answer = call("POST", path, params={"access_token": token}, json=body)
    if number(answer.get("errcode", 0)) in TOKEN_DEAD:
        # A refused token has spent no code: once more with a fresh one, and then no more.
        answer = call("POST", path, params={"access_token": access_token(dead=token)}, json=body)
    check(path, answer)
    info = answer.get("phone_info")
    told = info if isinstance(info, dict) else {}
    if told.get("watermark", {}).get("appid") != user.appid:
        log.error("%s: an answer for another app", path)
        raise ServiceError("wechat_unavailable")
    if str(told.get("countryCode")) != "86":
        raise ServiceError("phone_unknown")
    return str(told.get("purePhoneNumber", ""))


def access_token(*, dead: str | None = None) -> str:
    """The mini-program's access token, the same for all processes; another one than `dead`, which WeChat refused."""
    try:
        return tokens().current() if dead is None else tokens().replace(dead)
    except TokenRefusedError as error:
        check(STABLE_TOKEN, {"errcode": error.code})
        raise ServiceError("wechat_unavailable") from None


def tokens() -> Tokens:
    """The mini-program's tokens, as the channels of messages share them."""
    appid, secret = credentials("mini_program")
    kept: Tokens | None = current_app.extensions.get("wechat_tokens")
    if kept is None or kept.appid != appid:
        kept = Tokens(current_app.extensions["valkey"], appid=appid, secret=secret, ask=_ask_for_token)
        current_app.extensions["wechat_tokens"] = kept
    return kept


def _ask_for_token(body: dict[str, Any]) -> dict[str, Any]:
    return call("POST", STABLE_TOKEN, json=body)


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


def check(path: str, answer: dict[str, Any]) -> None:
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
        log.error("%s: errcode %s: %s", path, errcode, str(answer.get("errmsg", ""))[:200])
        raise ServiceError("wechat_unavailable")


def number(value: Any) -> int | None:
    """An errcode, which comes as number or as text; None if it is neither."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
