"""WeChat's messages and content check: credits per person and template, field rules, one send at a time to a person.

Credits come from `POST /sandbox/credits`, as a member's accept would make them. Verdicts on contents come from faults
of the kind `verdict` with a code such as `risky 20002`; otherwise everything passes.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.sandbox.faults import Answer
from service.sandbox.wechat import WeChat, refused

TWO_HOURS = 7200.0
LENGTHS = {
    "thing": 20, "number": 32, "letter": 32, "symbol": 5, "character_string": 32, "phone_number": 17, "car_number": 8,
    "name": 20, "phrase": 5, "time": 50, "date": 50, "amount": 16, "enum": 20,
}  # fmt: skip
ALPHABETS = {
    "number": r"-?\d+(\.\d+)?", "letter": "[A-Za-z]+", "character_string": "[!-~]+", "phrase": "[\u4e00-\u9fff]+",
    "time": r".*\d{1,2}:\d\d.*", "date": r".*\d{4}年\d{1,2}月\d{1,2}日.*", "amount": r"[¥￥$]?\d+(\.\d+)?元?",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A message that was sent, for who looks at `GET /sandbox/messages`."""

    number: int
    openid: str
    template: str
    data: dict[str, str]


class Messages:
    """What was sent to whom; `sent` is told of each subscribe message, for the event that follows."""

    def __init__(self, wechat: WeChat, *, latency: float = 0.0, sent: Callable[[Told], None] = lambda _: None) -> None:
        self.wechat, self._latency, self._sent = wechat, latency, sent
        self.credits: Counter[tuple[str, str]] = Counter()
        self.told: list[Told] = []
        self.overlaps = 0
        self._numbers = itertools.count(1)
        self._until: dict[str, float] = {}
        self._repeats: dict[tuple[str, str], tuple[float, int]] = {}

    def subscribe(self, query: dict[str, str], told: dict[str, Any]) -> Answer:
        """`message/subscribe/send`: one credit for each message."""
        openid, template = str(told.get("touser", "")), str(told.get("template_id", ""))
        now = self.wechat.now()
        if (refusal := self._refusal(query, told)) is not None:
            return refusal
        if self._until.get(openid, now) > now:
            self.overlaps += 1
            return refused(43108)
        delay = self._latency + self.wechat.faults.delay(openid)
        # An answer that leaves on time is never taken for one that is still on its way.
        self._until[openid] = now + delay * 0.9
        if self.credits[openid, template] < 1:
            return refused(43101, delay)
        self.credits[openid, template] -= 1
        message = self._tell(told)
        self._sent(message)
        return self._answered(message.number, openid, delay)

    def template(self, query: dict[str, str], told: dict[str, Any]) -> Answer:
        """`message/template/send`: a `client_msg_id` is good once in ten minutes."""
        openid = str(told.get("touser", ""))
        if (refusal := self._refusal(query, told)) is not None:
            return refusal
        key, now = (openid, str(told.get("client_msg_id", ""))), self.wechat.now()
        at, number = self._repeats.get(key, (now - 600, 0))
        if not key[1] or now - at >= 600:
            number = self._tell(told).number
            self._repeats[key] = (now, number)
        return self._answered(number, openid, self._latency + self.wechat.faults.delay(openid))

    def check(self, query: dict[str, str], told: dict[str, Any]) -> Answer:
        """`msg_sec_check`: only of who has just been in the mini-program."""
        openid = str(told.get("openid", ""))
        if (wrong := self.wechat.wrong_token(query)) is not None:
            return refused(wrong)
        seen = self.wechat.seen.get(openid)
        if seen is None or self.wechat.now() - seen > TWO_HOURS:
            return refused(61010)
        fault = self.wechat.faults.happens("verdict", openid)
        suggest, _, label = (fault.code if fault else "pass 100").partition(" ")
        result = {"suggest": suggest, "label": int(label or 100)}
        body = {"errcode": 0, "errmsg": "ok", "result": result, "detail": [], "trace_id": f"t-{next(self._numbers)}"}
        return Answer(body)

    def _refusal(self, query: dict[str, str], told: dict[str, Any]) -> Answer | None:
        openid = str(told.get("touser", ""))
        wrong = self.wechat.wrong_token(query)
        fault = self.wechat.faults.happens("message", openid) if wrong is None else None
        if wrong is not None or fault is not None:
            return refused(int(fault.code or -1) if fault else int(wrong or -1))
        if not openid or not told.get("template_id"):
            return refused(40003 if not openid else 40037)
        field = wrong_field(told.get("data"))
        return refused(47003, more=f" data.{field}.value invalid") if field else None

    def _tell(self, told: dict[str, Any]) -> Told:
        data = {name: str(one["value"]) for name, one in told["data"].items()}
        message = Told(next(self._numbers), str(told["touser"]), str(told["template_id"]), data)
        self.told.append(message)
        return message

    def _answered(self, number: int, openid: str, delay: float) -> Answer:
        if self.wechat.faults.happens("lost_reply", openid):
            return Answer(None, delay=delay)
        return Answer({"errcode": 0, "errmsg": "ok", "msgid": number}, delay=delay, kind="text/plain")


def wrong_field(data: Any) -> str | None:
    """The first field that WeChat would name in 47003; None if all are good."""
    if not isinstance(data, dict):
        return "data"
    for name, one in data.items():
        kind = re.sub(r"\d+$", "", name)
        value = one.get("value") if isinstance(one, dict) else None
        length = LENGTHS.get(kind)
        if length is None or not isinstance(value, str) or not 0 < len(value) <= length:
            return str(name)
        if not value.isprintable() or not re.fullmatch(ALPHABETS.get(kind, ".+"), value):
            return str(name)
    return None
