"""Events in each of their shapes, and what is none."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.notify.channels.wechat.content import Verdict, judge, question
from service.notify.channels.wechat.fields import FieldError
from service.notify.channels.wechat.happenings import Checked, Chosen, Settled, UnreadableError, key, parse, read
from service.sandbox import events

ONE, TWO = "a" * 43, "b" * 43


def accepted(template: str, yes: bool = True, *, later: bool = False) -> Chosen:
    return Chosen(openid="o-ana", template=template, accepted=yes, later=later)


def shapes(event: dict[str, Any]) -> list[bytes]:
    return [json.dumps(event).encode(), events.xml(event).encode()]


@pytest.mark.parametrize("nested", [False, True])
def test_one_choice_and_several(nested: bool) -> None:
    one = events.popup("o-ana", (ONE, "accept"), nested=nested)
    several = events.popup("o-ana", (ONE, "accept"), (TWO, "reject"), nested=nested)
    for event, expected in ((one, [accepted(ONE)]), (several, [accepted(ONE), accepted(TWO, False)])):
        for content in shapes(event):
            assert read(parse(content)) == expected


@pytest.mark.parametrize("nested", [False, True])
def test_a_choice_that_was_taken_back(nested: bool) -> None:
    for content in shapes(events.changed("o-ana", ONE, nested=nested)):
        assert read(parse(content)) == [accepted(ONE, False, later=True)]


@pytest.mark.parametrize("nested", [False, True])
def test_what_became_of_a_message(nested: bool) -> None:
    for code, kind in ((0, "done"), (-5, "retry")):
        for content in shapes(events.sent("o-ana", ONE, 77, code=code, nested=nested)):
            (found,) = read(parse(content))
            assert isinstance(found, Settled)
            assert (found.openid, found.receipt, found.template, found.outcome.kind) == ("o-ana", "77", ONE, kind)


def test_what_became_of_a_template_message() -> None:
    content = (
        b"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o-ana]]></FromUserName>"
        b"<CreateTime>1395658920</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        b"<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID>200163836</MsgID>"
        b"<Status><![CDATA[failed:user block]]></Status></xml>"
    )
    (found,) = read(parse(content))
    assert isinstance(found, Settled)
    assert (found.receipt, found.outcome.kind) == ("200163836", "drop_address")


def test_the_verdict_on_a_picture() -> None:
    event = {"Event": "wxa_media_check", "trace_id": "t-1", "result": {"suggest": "risky", "label": 20002}}
    assert read(event) == [Checked(trace="t-1", suggest="risky", label=20002)]
    assert read({"Event": "wxa_media_check", "trace_id": "t-1"}) == [Checked(trace="t-1", suggest="review", label=-1)]


@pytest.mark.parametrize("event", [{}, {"Event": "subscribe"}, {"MsgType": "text", "Content": "你好"}])
def test_what_we_have_no_use_for(event: dict[str, Any]) -> None:
    assert read(event) == []


BOMB = b'<!DOCTYPE xml [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><xml><Event>&b;</Event></xml>'
OUTSIDE = b'<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/hostname">]><xml><Event>&a;</Event></xml>'


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"{", b"<xml>", b"<xml/>", BOMB, OUTSIDE, b"\xff", b"[" * 100_000]
)
def test_what_cannot_be_read(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        read(parse(content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["List", "TemplateId", "x"]), inner),
    max_leaves=10,
)


@given(st.sampled_from(["subscribe_msg_popup_event", "subscribe_msg_sent_event", "wxa_media_check"]), JSON, JSON)
def test_any_shape_of_an_event_is_read(name: str, list_: Any, inner: Any) -> None:
    event = {"Event": name, "FromUserName": "o", "List": list_, "SubscribeMsgPopupEvent": inner, "result": inner}
    assert isinstance(read(event), list)
    key(event)


def test_copies_have_one_key_and_others_have_others() -> None:
    made = [
        events.popup("o-ana", (ONE, "accept")),
        events.popup("o-ben", (ONE, "accept")),
        events.popup("o-ana", (TWO, "accept")),
        events.changed("o-ana", ONE),
        events.sent("o-ana", ONE, 1),
        events.sent("o-ana", ONE, 2),
        {"MsgId": 1},
        {"MsgId": 2},
    ]
    for event in made:
        event.setdefault("CreateTime", 0)
        event["CreateTime"] = 1_700_000_000
    assert len({key(event) for event in made}) == len(made)
    assert key(parse(shapes(made[0])[1])) == key(made[0])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"result": {"suggest": "pass", "label": 100}, "trace_id": "t"}, Verdict("pass", "ok", trace="t")),
        ({"errcode": "0", "result": {"suggest": "risky", "label": "20002"}}, Verdict("risky", "pornography")),
        ({"result": {"suggest": "review", "label": 10001}}, Verdict("review", "advertising")),
        ({"result": {"suggest": "novelty", "label": 5}}, Verdict("review", "5")),
        ({}, Verdict("review", "-1")),
        ({"errcode": 61010}, Verdict("unchecked", "61010")),
        ({"errcode": 40129}, Verdict("unchecked", "40129")),
        ({"errcode": 43104}, Verdict("unchecked", "43104")),
        ({"errcode": 44991}, Verdict("unchecked", "44991", later=True)),
        ({"errcode": 45009}, Verdict("unchecked", "45009", later=True)),
        ({"errcode": -1}, Verdict("unchecked", "-1", later=True)),
    ],
)
def test_verdicts_on_texts(answer: dict[str, Any], expected: Verdict) -> None:
    assert judge(answer) == expected


def test_what_is_asked_of_a_text() -> None:
    assert question("好", openid="o", scene="comment") == {"content": "好", "version": 2, "scene": 2, "openid": "o"}
    for wrong in ("", "长" * 2501):
        with pytest.raises(FieldError):
            question(wrong, openid="o")
