"""WeChat's check of texts (`msg_sec_check`, version 2): what is asked, and what an answer means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.notify.channels.wechat.answers import errcode, number
from service.notify.channels.wechat.fields import FieldError

MOST_CHARACTERS = 2500
SCENES = {"profile": 1, "comment": 2, "forum": 3, "log": 4}
LABELS = {
    100: "ok", 10001: "advertising", 20001: "politics", 20002: "pornography", 20003: "abuse", 20006: "crime",
    20008: "fraud", 20012: "vulgarity", 20013: "copyright", 21000: "other",
}  # fmt: skip
# The author has not been in the mini-program for two hours: nobody can check it now.
AWAY = 61010
LATER = frozenset({-1, 45009, 45011, 44991})


@dataclass(frozen=True)
class Verdict:
    """pass, review or risky with a word for why; `unchecked` if nobody said, `later` if asking again may help."""

    suggest: Literal["pass", "review", "risky", "unchecked"]
    label: str
    trace: str = ""
    later: bool = False


def question(content: str, *, openid: str, scene: str = "comment", nickname: str = "") -> dict[str, Any]:
    """The body for `/wxa/msg_sec_check`; FieldError for a text that is too long, or none."""
    if not 0 < len(content) <= MOST_CHARACTERS:
        raise FieldError("content")
    body = {"content": content, "version": 2, "scene": SCENES[scene], "openid": openid}
    return body | ({"nickname": nickname} if nickname else {})


def judge(answer: Mapping[str, Any]) -> Verdict:
    """What an answer means; what is neither pass nor risky is for a person to look at."""
    code = errcode(answer)
    if code != 0:
        return Verdict("unchecked", str(code), later=code in LATER)
    result = answer.get("result")
    told = result if isinstance(result, dict) else {}
    suggest = told.get("suggest")
    label = number(told.get("label", -1))
    verdict: Literal["pass", "review", "risky"] = suggest if suggest in ("pass", "risky") else "review"
    return Verdict(verdict, LABELS.get(label, str(label)), trace=str(answer.get("trace_id", "")))
