"""WeChat's log-in: codes that a phone holds, and what WeChat answers for them.

`GET /sns/jscode2session`, `GET /sns/oauth2/access_token` and `POST /wxa/business/getuserphonenumber`: a code is good
once, for five minutes and for its own door; every error is HTTP 200 with an `errcode`, and the body is JSON that calls
itself text/plain. Codes, which a real phone gets from `wx.login`, a page or the phone
button, come from `POST /sandbox/codes`.
"""

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.sandbox.faults import Answer, Fault, Faults
from service.sandbox.tokens import Tokens

APPID = "wx0000000000sandbox"
SECRET = "the sandbox's secret"  # noqa: S105 - known to everybody, guards nothing
CODE_SECONDS = 300.0
MOST_CODES = 500_000

ERRORS = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40029: "invalid code",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "code blocked",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    40003: "invalid openid",
    40037: "invalid template_id",
    40164: "invalid ip, not in whitelist",
    43101: "user refuse to accept the msg",
    43107: "the capability or template is banned",
    43108: "concurrent messages to one user",
    45009: "reach max api daily quota limit",
    47003: "argument invalid!",
    61010: "user has not opened the mini-program within two hours",
    45011: "api minute-quota reach limit, must slower, retry next minute",
}


@dataclass
class Code:
    """A code as a phone holds it: for a log-in, for one on a page or in an app, or for its number."""

    openid: str
    unionid: str | None
    expires: float
    used: bool = False
    kind: str = "login"
    phone: str = ""


class WeChat:
    """The state and the rules; no network. `clock` counts seconds."""

    def __init__(
        self, *, appid: str = APPID, secret: str = SECRET, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._appid, self._secret, self._clock = appid, secret, clock
        self.faults = Faults()
        self.tokens = Tokens(appid, secret, clock)
        self.seen: dict[str, float] = {}
        # All codes live equally long, so the order of making is the order of expiry.
        self._codes: OrderedDict[str, Code] = OrderedDict()

    def login(self, openid: str, unionid: str | None = None, *, kind: str = "login", phone: str = "") -> str:
        """What `wx.login` gives the phone of `openid`: a fresh code; of kind oauth a page, of kind phone the button."""
        self._forget()
        code = "0" + secrets.token_urlsafe(23)
        self._codes[code] = Code(openid, unionid, self._clock() + CODE_SECONDS, kind=kind, phone=phone)
        return code

    @property
    def appid(self) -> str:
        """The app whose WeChat this is."""
        return self._appid

    def now(self) -> float:
        """The clock's seconds."""
        return self._clock()

    def fail(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        self.faults.fail(fault)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.faults.heal()

    def exchange(self, query: dict[str, str]) -> Answer:
        """`jscode2session`: the session of a code, or WeChat's refusal."""
        refusal = self._refusal(query, "js_code", "login")
        return refused(refusal) if refusal is not None else self._spend(query["js_code"], _session)

    def authorise(self, query: dict[str, str]) -> Answer:
        """`sns/oauth2/access_token`: who came with the code of a page or an app, or WeChat's refusal."""
        refusal = self._refusal(query, "code", "oauth")
        return refused(refusal) if refusal is not None else self._spend(query["code"], _authorised)

    def stable_token(self, told: dict[str, Any]) -> Answer:
        """`stable_token`: the same token to everybody until its last five minutes, then a new one beside it."""
        return self._granted(self.tokens.stable(told))

    def token(self, query: dict[str, str]) -> Answer:
        """`cgi-bin/token`: a new token each time, and five minutes more for the one before."""
        return self._granted(self.tokens.legacy(query))

    def _granted(self, found: dict[str, Any] | int) -> Answer:
        for kind, wrong in (("busy", -1), ("quota", 45009)):
            if self.faults.happens(kind):
                return refused(wrong)
        return refused(found) if isinstance(found, int) else Answer(found)

    def wrong_token(self, query: dict[str, str]) -> int | None:
        """The errcode for the access token of a request; None if it is good."""
        if self.faults.happens("token_dead"):
            self.tokens.revoke()
        if self.faults.happens("token_expired"):
            return 42001
        return self.tokens.wrong(query.get("access_token", ""))

    def phone_number(self, query: dict[str, str], told: dict[str, Any]) -> Answer:
        """`getuserphonenumber`: the number behind a code of the phone button, or WeChat's refusal."""
        wrong = self.wrong_token(query)
        if wrong is not None:
            return refused(wrong)
        refusal = self._wrong_code(str(told.get("code", "")), "phone")
        if refusal is None and told.get("openid") not in (None, self._codes[told["code"]].openid):
            refusal = 40029
        return refused(refusal) if refusal is not None else self._spend(told["code"], self._numbered)

    def _numbered(self, code: Code) -> dict[str, Any]:
        country, _, number = code.phone.rpartition(" ")
        country = country.removeprefix("+") or "86"
        shown = number if country == "86" else f"+{country}{number}"
        info = {"phoneNumber": shown, "purePhoneNumber": number, "countryCode": country}
        watermark = {"timestamp": int(time.time()), "appid": self._appid}
        return {"errcode": 0, "errmsg": "ok", "phone_info": info | {"watermark": watermark}}

    def _spend(self, text: str, shown: Callable[[Code], dict[str, Any]]) -> Answer:
        """Use up a code and answer with what is `shown` of it, unless something is to go wrong."""
        code = self._codes[text]
        delay = self.faults.delay(code.openid)
        for kind, wrong in (("busy", -1), ("rate_limited", 45011)):
            if self.faults.happens(kind, code.openid):
                return refused(wrong, delay)
        code.used = True
        if self.faults.happens("risk", code.openid):
            return refused(40226, delay)
        if self.faults.happens("lost_reply", code.openid):
            return Answer(None, delay=delay)
        self.seen[code.openid] = self._clock()
        return Answer(shown(code), delay=delay, kind="text/plain")

    def _refusal(self, query: dict[str, str], name_of_code: str, kind: str) -> int | None:
        """The errcode for what is wrong with the request or its code, None if nothing is."""
        for name, wrong in (("appid", 41002), ("secret", 41004), (name_of_code, 41008)):
            if not query.get(name):
                return wrong
        if query["appid"] != self._appid:
            return 40013
        if query["secret"] != self._secret:
            return 40125
        if query.get("grant_type") != "authorization_code":
            return 40002
        return self._wrong_code(query[name_of_code], kind)

    def _wrong_code(self, text: str, kind: str) -> int | None:
        """The errcode for a code that is not good at this door, None if it is."""
        self._forget()
        code = self._codes.get(text)
        if code is None or code.kind != kind:
            return 40029
        return 40163 if code.used else None

    def _forget(self) -> None:
        """Drop expired codes, used ones among them; and the oldest if there are too many."""
        now = self._clock()
        while self._codes:
            oldest = next(iter(self._codes))
            if self._codes[oldest].expires > now and len(self._codes) < MOST_CODES:
                return
            del self._codes[oldest]


def _session(code: Code) -> dict[str, Any]:
    session = {"session_key": base64.b64encode(secrets.token_bytes(16)).decode(), "openid": code.openid}
    return session | ({"unionid": code.unionid} if code.unionid else {})


def _authorised(code: Code) -> dict[str, Any]:
    tokens = {"access_token": secrets.token_urlsafe(60), "expires_in": 7200, "refresh_token": secrets.token_urlsafe(60)}
    who = {"openid": code.openid, "scope": "snsapi_base"}
    return tokens | who | ({"unionid": code.unionid} if code.unionid else {})


def refused(errcode: int, delay: float = 0.0, more: str = "") -> Answer:
    """A refusal as WeChat words it."""
    message = f"{ERRORS.get(errcode, 'refused')}{more}, rid: {secrets.token_hex(4)}-{secrets.token_hex(4)}"
    return Answer({"errcode": errcode, "errmsg": message}, delay=delay, kind="text/plain")
