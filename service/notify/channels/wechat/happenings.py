"""What WeChat tells by message push, read from JSON or XML in any of the shapes that it has had.

One event may tell of several templates: `List` is an object for one and an array for several, on top in JSON and
within an element of the event's own in XML and in older JSON. Numbers may be texts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from service.notify.channels.sends import Outcome, done, retry
from service.notify.channels.wechat.answers import finished, number

CHOICES = {
    "subscribe_msg_popup_event": "SubscribeMsgPopupEvent",
    "subscribe_msg_change_event": "SubscribeMsgChangeEvent",
}
SENT = ("subscribe_msg_sent_event", "SubscribeMsgSentEvent")


class UnreadableError(ValueError):
    """Neither a JSON object nor an XML document without entities."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A member accepted or refused a template; `later` if in his settings and not when asked."""

    openid: str
    template: str
    accepted: bool
    later: bool


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of a message that WeChat had taken, by the receipt that it gave."""

    openid: str
    receipt: str
    outcome: Outcome
    template: str = ""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The verdict on a picture or sound: pass, review or risky."""

    trace: str
    suggest: str
    label: int


Happening = Chosen | Settled | Checked


def parse(content: bytes) -> dict[str, Any]:
    """The object that `content` spells, as JSON or as XML; UnreadableError."""
    text = content.strip()
    try:
        found = _tree(fromstring(text, forbid_dtd=True)) if text.startswith(b"<") else json.loads(text)
    except (ValueError, ParseError, DefusedXmlException, RecursionError) as error:
        raise UnreadableError(type(error).__name__) from None
    if not isinstance(found, dict):
        raise UnreadableError("no object")
    return found


def key(event: Mapping[str, Any]) -> str:
    """What two copies of one event have in common, and no two events."""
    if event.get("MsgId"):
        return f"id {event['MsgId']}"
    parts = [event.get(name, "") for name in ("FromUserName", "CreateTime", "Event", "MsgID", "trace_id")]
    rows = [f"{row.get('TemplateId', '')} {row.get('MsgID', '')}" for row in _rows(event)]
    return " ".join(map(str, (*parts, *sorted(rows))))


def read(event: Mapping[str, Any]) -> list[Happening]:
    """What an event tells that we have a use for; nothing of any other."""
    name = str(event.get("Event", ""))
    openid = str(event.get("FromUserName", ""))
    if name in CHOICES:
        return [_chosen(openid, row, later="change" in name) for row in _rows(event)]
    if name == SENT[0]:
        return [_sent(openid, row) for row in _rows(event)]
    if name == "TEMPLATESENDJOBFINISH":
        status = finished(str(event.get("Status", "")))
        return [Settled(openid=openid, receipt=str(event.get("MsgID", "")), outcome=status)]
    if name == "wxa_media_check":
        return [_checked(event)]
    return []


def _chosen(openid: str, row: Mapping[str, Any], *, later: bool) -> Chosen:
    accepted = row.get("SubscribeStatusString") == "accept"
    return Chosen(openid=openid, template=str(row.get("TemplateId", "")), accepted=accepted, later=later)


def _sent(openid: str, row: Mapping[str, Any]) -> Settled:
    code = number(row.get("ErrorCode", 0))
    # Failures here are WeChat's own: refusals were told in the answer to the send.
    outcome = done() if code == 0 else retry(str(code))
    template = str(row.get("TemplateId", ""))
    return Settled(openid=openid, receipt=str(row.get("MsgID", "")), outcome=outcome, template=template)


def _checked(event: Mapping[str, Any]) -> Checked:
    result = event.get("result")
    told = result if isinstance(result, dict) else {}
    # Without a verdict somebody has to look.
    suggest = str(told.get("suggest", "review"))
    return Checked(trace=str(event.get("trace_id", "")), suggest=suggest, label=number(told.get("label", -1)))


def _rows(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The members of List, wherever and however many they are."""
    outer = CHOICES | dict([SENT])
    inner = event.get(outer.get(str(event.get("Event", "")), ""))
    for holder in (event, *(inner if isinstance(inner, list) else [inner])):
        found = holder.get("List") if isinstance(holder, dict) else None
        yield from (row for row in (found if isinstance(found, list) else [found]) if isinstance(row, dict))


def _tree(element: Element) -> Any:
    """Text for a leaf; otherwise an object, in which what comes more than once is a list."""
    if not len(element):
        return element.text or ""
    found: dict[str, Any] = {}
    for child in element:
        value = _tree(child)
        if child.tag in found:
            earlier = found[child.tag]
            value = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        found[child.tag] = value
    return found
