"""Requests to answers over HTTP/1.1: the providers' own addresses, and the sandbox's doors to look and to tell.

The doors are those that `_own` lists; docs/channels.md says what each takes.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from service.sandbox import events
from service.sandbox.faults import Answer, SandboxError, read_fault
from service.sandbox.fcm import PROJECT, Fcm
from service.sandbox.hooks import Hooks
from service.sandbox.jpush import JPush
from service.sandbox.messages import Messages
from service.sandbox.wechat import WeChat

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 4_194_304


class Doors:
    """Every provider that speaks HTTP/1.1, at one address. Without its own the sandbox makes what is missing."""

    def __init__(
        self,
        wechat: WeChat,
        *,
        messages: Messages | None = None,
        fcm: Fcm | None = None,
        jpush: JPush | None = None,
        hooks: Hooks | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.wechat = wechat
        self.messages = messages or Messages(wechat)
        self.hooks = hooks or Hooks([])
        self._tell = tell
        self.fcm, self.jpush = fcm or Fcm(wechat.faults), jpush or JPush(wechat.faults)

    def answer(self, method: str, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to one request; never raises."""
        parts = urlsplit(target)
        query, fields = dict(parse_qsl(parts.query)), headers or {}
        asked = f"{method} {parts.path}"
        try:
            provider = self._wechat(asked, query, body) or self._push(asked, query, body, fields)
            if provider is not None:
                return provider
            own = self._own(asked, body, fields)
        except SandboxError as error:
            return Answer({"error": str(error)}, status=400)
        return Answer({"error": "no such door"}, status=404) if own is None else Answer(own)

    def _wechat(self, asked: str, query: dict[str, str], body: bytes) -> Answer | None:
        wechat, messages = self.wechat, self.messages
        doors: dict[str, Callable[[], Answer]] = {
            "GET /sns/jscode2session": lambda: wechat.exchange(query),
            "GET /sns/oauth2/access_token": lambda: wechat.authorise(query),
            "GET /cgi-bin/token": lambda: wechat.token(query),
            "POST /cgi-bin/stable_token": lambda: wechat.stable_token(_parse(body)),
            "POST /wxa/business/getuserphonenumber": lambda: wechat.phone_number(query, _parse(body)),
            "POST /wxa/msg_sec_check": lambda: messages.check(query, _parse(body)),
            "POST /cgi-bin/message/subscribe/send": lambda: messages.subscribe(query, _parse(body)),
            "POST /cgi-bin/message/subscribe/bizsend": lambda: messages.subscribe(query, _parse(body)),
            "POST /cgi-bin/message/template/send": lambda: messages.template(query, _parse(body)),
        }
        return doors[asked]() if asked in doors else None

    def _push(self, asked: str, query: dict[str, str], body: bytes, headers: Mapping[str, str]) -> Answer | None:
        entitled = headers.get("authorization", "")
        doors: dict[str, Callable[[], Answer]] = {
            "POST /token": lambda: self.fcm.grant(body),
            f"POST /v1/projects/{PROJECT}/messages:send": lambda: self.fcm.send(_parse(body), entitled),
            "POST /hooks": lambda: self.hooks.take(headers, body),
            "GET /v3/push/cid": lambda: self.jpush.cids(query, entitled),
            "POST /v3/push": lambda: self.jpush.push(_parse(body), entitled),
        }
        return doors[asked]() if asked in doors else None

    def _own(self, asked: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
        doors: dict[str, Callable[[], dict[str, Any]]] = {
            "GET /healthz": lambda: {"status": "ok"},
            "GET /sandbox/account": lambda: dict(self.fcm.account(f"http://{headers.get('host', '')}")),
            "GET /sandbox/hooks": lambda: {"events": list(self.hooks.taken)},
            "GET /sandbox/messages": lambda: {"messages": [vars(one) for one in self.messages.told[-1000:]]},
            "GET /sandbox/tally": lambda: {"told": len(self.messages.told), "overlaps": self.messages.overlaps},
            "POST /sandbox/codes": lambda: self._codes(_parse(body)),
            "POST /sandbox/credits": lambda: self._credits(_parse(body)),
            "POST /sandbox/devices": lambda: self._devices(_parse(body)),
            "POST /sandbox/choices": lambda: self._choices(_parse(body)),
            "POST /sandbox/faults": lambda: self._fault(_parse(body)),
            "DELETE /sandbox/faults": self._heal,
        }
        return doors[asked]() if asked in doors else None

    def _codes(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """{"openid": "…", "unionid"?, "kind"?: "login|oauth|phone", "phone"?} or {"openids": […]} → {"codes": […]}"""
        openids = wanted.get("openids", [wanted.get("openid")])
        if not isinstance(openids, list) or not all(openid and isinstance(openid, str) for openid in openids):
            raise SandboxError("openid or openids: texts")
        unionid, kind, phone = wanted.get("unionid"), wanted.get("kind", "login"), str(wanted.get("phone", ""))
        if kind not in ("login", "oauth", "phone"):
            raise SandboxError("kind: login, oauth or phone")
        return {"codes": [self.wechat.login(openid, unionid, kind=kind, phone=phone) for openid in openids]}

    def _credits(self, given: dict[str, Any]) -> dict[str, Any]:
        """{"openids": […], "template": "…", "count"?: 1} → the accepts of these members."""
        openids, template, count = given.get("openids"), given.get("template"), given.get("count", 1)
        if not isinstance(openids, list) or not isinstance(template, str) or not isinstance(count, int):
            raise SandboxError("openids, template, count")
        for openid in openids:
            self.messages.credits[str(openid), template] += count
        return {"status": "ok"}

    def _choices(self, made: dict[str, Any]) -> dict[str, Any]:
        """{"openid", "choices": {template: accept or reject}, "later"?, "nested"?} → the event that tells of them."""
        openid, choices, nested = made.get("openid"), made.get("choices"), bool(made.get("nested"))
        if not isinstance(openid, str) or not isinstance(choices, dict) or not choices:
            raise SandboxError("openid, choices")
        if made.get("later"):
            for template in choices:
                self._tell(events.changed(openid, template, nested=nested))
        else:
            self._tell(events.popup(openid, *((str(one), str(word)) for one, word in choices.items()), nested=nested))
        return {"status": "ok"}

    def _devices(self, given: dict[str, Any]) -> dict[str, Any]:
        """{"devices": […]} → those that JPush knows, and from now on no others."""
        devices = given.get("devices")
        if not isinstance(devices, list):
            raise SandboxError("devices: texts")
        self.jpush.known.update(map(str, devices))
        return {"status": "ok"}

    def _fault(self, told: dict[str, Any]) -> dict[str, Any]:
        self.wechat.fail(read_fault(told))
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
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, asyncio.CancelledError):
            pass  # the other side left, or does not speak HTTP; or we end
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
    answer = doors.answer(words[0], words[1], body, fields)
    await asyncio.sleep(answer.delay)
    if answer.body is None:
        writer.transport.abort()
        return False
    writer.write(_http(answer))
    await writer.drain()
    return fields.get("connection", "").lower() != "close"


def _http(answer: Answer) -> bytes:
    body = json.dumps(answer.body, ensure_ascii=False).encode()
    fields = {"Content-Type": answer.kind, "Content-Length": str(len(body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {answer.status} -\r\n{lines}\r\n".encode("latin-1") + body
