"""A stand-in for WeChat's log-in, for the demo and for tests: the real rules, and faults on demand.

`GET /sns/jscode2session`, `GET /sns/oauth2/access_token`, `POST /cgi-bin/stable_token` and
`POST /wxa/business/getuserphonenumber` as WeChat answers them: a code is good once, for five minutes and for its own
door; every error is HTTP 200 with an `errcode`, and the body is JSON that calls itself text/plain. Codes, which a real
phone gets from `wx.login`, a page or the phone button, come from `POST /sandbox/codes`; what is to go wrong is told to
`POST /sandbox/faults`.

Everything is in the memory of one process; it listens where it is told to and asks nobody who they are.
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import uvloop

APPID = "wx0000000000sandbox"
SECRET = "the sandbox's secret"  # noqa: S105 - known to everybody, guards nothing
CODE_SECONDS = 300.0
TOKEN_SECONDS = 7200.0
TOKEN_OVERLAP_SECONDS = 300.0
MOST_CODES = 500_000
MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 4_194_304

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
    45011: "api minute-quota reach limit, must slower, retry next minute",
}
# What can be told to go wrong: an errcode in place of an answer, or something that happens to the answer.
FAULTS = {"token_dead": 40001, "busy": -1, "rate_limited": 45011, "risk": 40226, "lost_reply": None, "delay": None}


@dataclass
class Code:
    """A code as a phone holds it: for a log-in, for one on a page or in an app, or for its number."""

    openid: str
    unionid: str | None
    expires: float
    used: bool = False
    kind: str = "login"
    phone: str = ""


@dataclass
class Fault:
    """Something to go wrong the next `times` times, with the codes of `openid` only if one is given."""

    kind: str
    times: int
    openid: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What to answer, after `delay` seconds; without a body the connection is cut instead."""

    body: dict[str, Any] | None
    status: int = 200
    delay: float = 0.0
    kind: str = "application/json; charset=utf-8"


class SandboxError(Exception):
    """A request to the sandbox's own doors that makes no sense."""


class WeChat:
    """The state and the rules; no network. `clock` counts seconds."""

    def __init__(
        self, *, appid: str = APPID, secret: str = SECRET, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._appid, self._secret, self._clock = appid, secret, clock
        # All codes live equally long, so the order of making is the order of expiry.
        self._codes: OrderedDict[str, Code] = OrderedDict()
        self._faults: list[Fault] = []
        self._tokens: dict[str, float] = {}

    def login(self, openid: str, unionid: str | None = None, *, kind: str = "login", phone: str = "") -> str:
        """What `wx.login` gives the phone of `openid`: a fresh code; of kind oauth a page, of kind phone the button."""
        self._forget()
        code = "0" + secrets.token_urlsafe(23)
        self._codes[code] = Code(openid, unionid, self._clock() + CODE_SECONDS, kind=kind, phone=phone)
        return code

    def fail(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        self._faults.append(fault)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def exchange(self, query: dict[str, str]) -> Answer:
        """`jscode2session`: the session of a code, or WeChat's refusal."""
        refusal = self._refusal(query, "js_code", "login")
        return _refused(refusal) if refusal is not None else self._spend(query["js_code"], _session)

    def authorise(self, query: dict[str, str]) -> Answer:
        """`sns/oauth2/access_token`: who came with the code of a page or an app, or WeChat's refusal."""
        refusal = self._refusal(query, "code", "oauth")
        return _refused(refusal) if refusal is not None else self._spend(query["code"], _authorised)

    def stable_token(self, told: dict[str, Any]) -> Answer:
        """`stable_token`: the same token to everybody until its last five minutes, then a new one beside it."""
        if told.get("appid") != self._appid or told.get("secret") != self._secret:
            return _refused(40013 if told.get("appid") != self._appid else 40125)
        now = self._clock()
        token = next((one for one, ends in self._tokens.items() if ends - now > TOKEN_OVERLAP_SECONDS), None)
        if token is None:
            token = secrets.token_urlsafe(90)
            self._tokens[token] = now + TOKEN_SECONDS
        return Answer({"access_token": token, "expires_in": int(self._tokens[token] - now)})

    def phone_number(self, query: dict[str, str], told: dict[str, Any]) -> Answer:
        """`getuserphonenumber`: the number behind a code of the phone button, or WeChat's refusal."""
        if self._happens("token_dead", ""):
            self._tokens.clear()
        ends = self._tokens.get(query.get("access_token", ""))
        if ends is None:
            return _refused(40001)
        if ends <= self._clock():
            return _refused(42001)
        refusal = self._wrong_code(str(told.get("code", "")), "phone")
        if refusal is None and told.get("openid") not in (None, self._codes[told["code"]].openid):
            refusal = 40029
        return _refused(refusal) if refusal is not None else self._spend(told["code"], self._numbered)

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
        delay = self._delay(code.openid)
        for kind in ("busy", "rate_limited"):
            if self._happens(kind, code.openid):
                return _refused(FAULTS[kind], delay)
        code.used = True
        if self._happens("risk", code.openid):
            return _refused(FAULTS["risk"], delay)
        if self._happens("lost_reply", code.openid):
            return Answer(None, delay=delay)
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

    def _happens(self, kind: str, openid: str) -> Fault | None:
        """The fault of `kind` that is due now, counted down; None if there is none."""
        for fault in self._faults:
            if fault.kind == kind and fault.openid in (None, openid):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def _delay(self, openid: str) -> float:
        fault = self._happens("delay", openid)
        return fault.seconds if fault else 0.0

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


def _refused(errcode: int | None, delay: float = 0.0) -> Answer:
    message = f"{ERRORS[errcode or 0]}, rid: {secrets.token_hex(4)}-{secrets.token_hex(4)}"
    return Answer({"errcode": errcode, "errmsg": message}, delay=delay, kind="text/plain")


class Doors:
    """Requests to answers: WeChat's own address and the sandbox's doors."""

    def __init__(self, wechat: WeChat) -> None:
        self.wechat = wechat

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """The answer to one request; never raises."""
        parts = urlsplit(target)
        doors = {
            ("GET", "/healthz"): lambda: {"status": "ok"},
            ("POST", "/sandbox/codes"): lambda: self._codes(_parse(body)),
            ("POST", "/sandbox/faults"): lambda: self._fault(_parse(body)),
            ("DELETE", "/sandbox/faults"): self._heal,
        }
        query = dict(parse_qsl(parts.query))
        wechats: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/sns/jscode2session"): lambda: self.wechat.exchange(query),
            ("GET", "/sns/oauth2/access_token"): lambda: self.wechat.authorise(query),
            ("POST", "/cgi-bin/stable_token"): lambda: self.wechat.stable_token(_parse(body)),
            ("POST", "/wxa/business/getuserphonenumber"): lambda: self.wechat.phone_number(query, _parse(body)),
        }
        asked = (method, parts.path)
        if asked not in wechats and asked not in doors:
            return Answer({"error": "no such door"}, status=404)
        try:
            return wechats[asked]() if asked in wechats else Answer(doors[asked]())
        except SandboxError as error:
            return Answer({"error": str(error)}, status=400)

    def _codes(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """{"openid": "…", "unionid"?, "kind"?: "login|oauth|phone", "phone"?} or {"openids": […]} → {"codes": […]}"""
        openids = wanted.get("openids", [wanted.get("openid")])
        if not isinstance(openids, list) or not all(openid and isinstance(openid, str) for openid in openids):
            raise SandboxError("openid or openids: texts")
        unionid, kind, phone = wanted.get("unionid"), wanted.get("kind", "login"), str(wanted.get("phone", ""))
        if kind not in ("login", "oauth", "phone"):
            raise SandboxError("kind: login, oauth or phone")
        return {"codes": [self.wechat.login(openid, unionid, kind=kind, phone=phone) for openid in openids]}

    def _fault(self, told: dict[str, Any]) -> dict[str, Any]:
        """{"kind": "busy|rate_limited|risk|lost_reply|delay", "times"?: 1, "openid"?: "…", "seconds"?: 1.0}"""
        try:
            fault = Fault(
                kind=str(told["kind"]),
                times=int(told.get("times", 1)),
                openid=told.get("openid"),
                seconds=float(told.get("seconds", 0.0)),
            )
        except (KeyError, TypeError, ValueError):
            raise SandboxError("kind, times, openid, seconds") from None
        if fault.kind not in FAULTS or fault.times < 1:
            raise SandboxError(f"kind: {', '.join(FAULTS)}; times: at least 1")
        self.wechat.fail(fault)
        return {"status": "ok"}

    def _heal(self) -> dict[str, Any]:
        self.wechat.heal()
        return {"status": "ok"}


def _parse(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise SandboxError("a JSON object") from None
    if not isinstance(found, dict):
        raise SandboxError("a JSON object")
    return found


async def serve(doors: Doors, *, host: str, port: int) -> asyncio.Server:
    """A listening server; port 0 takes a free one."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _exchange(doors, reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the other side left, or does not speak HTTP
        finally:
            writer.close()

    return await asyncio.start_server(converse, host, port, limit=MAX_HEAD_BYTES, backlog=1024, reuse_port=True)


async def _exchange(doors: Doors, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request and its answer; whether the connection stays open."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    words, length = lines[0].split(), fields.get("content-length", "0")
    if len(words) != 3 or not length.isdigit() or int(length) > MAX_BODY_BYTES:
        writer.write(_http(Answer({"error": "malformed"}, status=400)))
        return False
    body = await reader.readexactly(int(length))
    answer = doors.answer(words[0], words[1], body)
    await asyncio.sleep(answer.delay)
    if answer.body is None:
        writer.transport.abort()
        return False
    writer.write(_http(answer))
    await writer.drain()
    return fields.get("connection", "").lower() != "close"


def _http(answer: Answer) -> bytes:
    body = json.dumps(answer.body, ensure_ascii=False).encode()
    head = f"HTTP/1.1 {answer.status} -\r\nContent-Type: {answer.kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


async def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, for the appid and secret of the environment."""
    environ = os.environ
    wechat = WeChat(appid=environ.get("WECHAT_APPID") or APPID, secret=environ.get("WECHAT_SECRET") or SECRET)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = await serve(Doors(wechat), host=host, port=port)
    await stopping.wait()
    server.close()


def main(host: str, port: int) -> None:
    """Run the stand-in until it is told to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(host, port))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stand-in for WeChat's log-in.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    main(given.host, given.port)
