"""The kinds of notices and their texts, by language.

What may light up a locked screen is neutral: it names no theme and no organisation. The inbox says it in full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Text:
    """What is said in one language: on a locked screen, and in full."""

    title: str
    neutral: str
    full: str


@dataclass(frozen=True)
class Kind:
    """A kind of notice; `wakes`: whether it is sent in quiet hours too, because afterwards it is worth nothing."""

    texts: Mapping[str, Text]
    wakes: bool = False


KINDS = {
    "announced": Kind(
        {
            "zh": Text("活动通知", "您有一项新的活动安排，请查看。", "活动“{theme}”定于{starts}举行。"),
            "en": Text("Activity", "There is a new activity for you.", "“{theme}” takes place on {starts}."),
        }
    ),
    "hour_before": Kind(
        {
            "zh": Text("活动提醒", "您有一项活动即将开始。", "活动“{theme}”将于{starts}开始。"),
            "en": Text("Reminder", "An activity of yours begins soon.", "“{theme}” begins on {starts}."),
        },
        wakes=True,
    ),
    "started": Kind(
        {
            "zh": Text("直播开始", "您的活动现已开始，请进入。", "活动“{theme}”的直播已开始。"),
            "en": Text("Started", "Your activity has begun.", "The stream of “{theme}” has begun."),
        },
        wakes=True,
    ),
    "missing": Kind(
        {
            "zh": Text("活动提醒", "您有一项正在进行的活动尚未进入。", "活动“{theme}”正在进行，您尚未进入。"),
            "en": Text("Reminder", "You have not joined an activity yet.", "“{theme}” is on, and you have not joined."),
        },
        wakes=True,
    ),
    "make_up": Kind(
        {
            "zh": Text("补学提醒", "您有一项补学即将截止。", "活动“{theme}”的补学将于{starts}截止。"),
            "en": Text(
                "Make-up", "The time to make up for an activity ends soon.", "Make-up of “{theme}” ends {starts}."
            ),
        }
    ),
    "own_text": Kind(
        {
            "zh": Text("通知", "您有一条新通知，请查看。", "{text}"),
            "en": Text("Notice", "There is a notice for you.", "{text}"),
        }
    ),
}


@dataclass(frozen=True)
class Said:
    """A notice in a reader's language."""

    title: str
    neutral: str
    full: str


def said(kind: str, language: str, *, texts: Mapping[str, Mapping[str, str]], facts: Mapping[str, Any]) -> Said:
    """What a notice says to a reader of `language`; of an own text that lacks it, what there is."""
    spoken = KINDS[kind].texts.get(language) or KINDS[kind].texts["zh"]
    own = texts.get(language) or next(iter(texts.values()), {})
    words = spoken_facts(facts, language) | {"text": own.get("text", "")}
    return Said(own.get("title") or spoken.title, spoken.neutral, spoken.full.format(**words))


def spoken_facts(facts: Mapping[str, Any], language: str) -> dict[str, str]:
    """The facts as a template has them: the theme, and the moment in the activity's own zone."""
    moment = ""
    if facts.get("starts_at"):
        local = datetime.fromisoformat(facts["starts_at"]).astimezone(ZoneInfo(facts.get("timezone", "Asia/Shanghai")))
        plain = f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}"
        moment = plain if language == "zh" else f"{local:%Y-%m-%d %H:%M}"
    return {"theme": str(facts.get("theme", "")), "starts": moment}
