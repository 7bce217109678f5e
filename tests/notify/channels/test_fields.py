"""Template fields: shortened as documented, or refused by name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.notify.channels.wechat.fields import PATTERNS, FieldError, fit


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thing1", "学习新思想 奋进新征程"),
        ("number2", "-12.5"),
        ("letter1", "ABC"),
        ("symbol1", "#!"),
        ("character_string1", "CS-2023/09#20"),
        ("time1", "15:01"),
        ("time1", "2019年10月1日 15:01"),
        ("time1", "2019年10月1日 15:01~16:30"),
        ("date3", "2019年10月1日"),
        ("date3", "2019年10月1日 15:01~2019年10月2日 15:01"),
        ("amount1", "¥100.5元"),
        ("phone_number1", "+86-0766-66888866"),
        ("car_number1", "粤A8Z888挂"),
        ("name1", "次仁卓玛"),
        ("name1", "阿卜杜拉·买买提"),
        ("name1", "Anna Li"),
        ("phrase1", "已开始"),
        ("enum1", "进行中"),
    ],
)
def test_what_fits_stays(field: str, value: str) -> None:
    assert fit({field: value}) == {field: value}


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("thing1", "一" * 20, "一" * 20),
        ("thing1", "一" * 21, "一" * 19 + "…"),
        ("thing1", " 两行\n文字\x00 ", "两行 文字"),
        ("name1", "一" * 11, "一" * 10),
        ("name1", "A" * 21, "A" * 20),
        ("phrase1", "已经开始直播了", "已经开始直"),
    ],
)
def test_what_is_too_long_is_shortened(field: str, value: str, sent: str) -> None:
    assert fit({field: value}) == {field: sent}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thing1", ""),
        ("thing1", " \n"),
        ("number1", "12a"),
        ("number1", "1" * 33),
        ("letter1", "a" * 33),
        ("letter1", "中"),
        ("symbol1", "######"),
        ("symbol1", "a"),
        ("character_string1", "编号1"),
        ("character_string1", "a" * 33),
        ("time1", "25:00"),
        ("time1", "2019年10月1日"),
        ("time1", "2019-10-01 15:01"),
        ("date1", "2019年13月1日"),
        ("date1", "15:01"),
        ("amount1", "12345678901"),
        ("amount1", "一百"),
        ("phone_number1", "1" * 18),
        ("car_number1", "粤A8Z88888"),
        ("name1", "张3"),
        ("phrase1", "live"),
        ("weather1", "x"),
        ("thing", "x"),
        ("", "x"),
    ],
)
def test_what_cannot_fit_is_refused_by_its_name(field: str, value: str) -> None:
    with pytest.raises(FieldError) as refused:
        fit({"thing9": "ok", field: value})
    assert refused.value.field == field


@given(st.sampled_from(sorted(PATTERNS)), st.text(max_size=60))
def test_whatever_is_sent_is_within_the_rules_and_stays_so(kind: str, value: str) -> None:
    field = f"{kind}1"
    try:
        sent = fit({field: value})
    except FieldError:
        return
    assert 0 < len(sent[field]) <= 50
    assert not [one for one in sent[field] if unicodedata.category(one) == "Cc"]
    assert fit(sent) == sent
    sent[field].encode()
