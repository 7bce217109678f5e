"""What a row of a paper list says: whose, when; and what it cannot say."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from service.checkin.occasion import Window
from service.checkin.paper.lists import Signed, Unusable, entries, entry, same_name
from service.clock import CIVIL
from service.errors import ServiceError
from service.sheets import Row
from tests.checkin.people import NOW
from tests.factories import HOUR

# From four to six in the afternoon in China.
WINDOW = Window(1, NOW - HOUR, NOW + HOUR)
AFTER = NOW + 2 * HOUR


def said(file: Path) -> list[Signed | Unusable]:
    return list(entries(file, WINDOW, AFTER))


def one(**cells: str) -> Signed | Unusable:
    return entry(Row(2, {"member": "7", "name": "张三"} | cells), WINDOW, AFTER)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("heads", ["党员编号,姓名,签到时间", "编号,党员姓名,时间", "Member Number,Name,Time"])
def test_a_csv_in_any_usual_encoding_and_either_language(tmp_path: Path, encoding: str, heads: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(f"{heads}\n7,张三,17:05\n8,扎西·多吉,\n".encode(encoding))
    at = datetime(2026, 9, 20, 17, 5, tzinfo=CIVIL)
    assert said(file) == [Signed(2, 7, "张三", at), Signed(3, 8, "扎西·多吉", None)]


def workbook(file: Path, rows: Sequence[Sequence[object]]) -> Path:
    with xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return file


def test_a_workbook_with_numbers_dates_and_signatures(tmp_path: Path) -> None:
    at = datetime(2026, 9, 20, 17, 5, tzinfo=CIVIL)
    rows: list[list[object]] = [
        ["党员编号", "姓名", "签到时间", "签名"],
        [7, "张三", at.replace(tzinfo=None), "√"],
        ["8", "李四", "", ""],
        [9, "王五", "", "王五"],
    ]
    assert said(workbook(tmp_path / "list.xlsx", rows)) == [
        Signed(2, 7, "张三", at),
        Unusable(3, "unsigned"),
        Signed(4, 9, "王五", None),
    ]


def test_whoever_is_there_twice_is_entered_once(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("党员编号,姓名\n7,张三\n8,李四\n7,张三\n7,李四\n")
    assert [row for row in said(file) if isinstance(row, Unusable)] == [
        Unusable(4, "repeated"),
        Unusable(5, "repeated"),
    ]


@pytest.mark.parametrize("heads", ["姓名", "党员编号", "身份证号,姓名", "手机号,姓名", "党员编号,编号,姓名", "", "x,y"])
def test_without_number_and_name_it_is_no_list(tmp_path: Path, heads: str) -> None:
    """There is no column by which an identity number or a phone could sign anybody in."""
    file = tmp_path / "list.csv"
    file.write_text(f"{heads}\n510101199001010017,张三,7\n")
    with pytest.raises(ServiceError, match="sheet_columns"):
        said(file)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"member": ""}, "member_missing"),
        ({"name": ""}, "name_missing"),
        ({"member": "510101199001010017"}, "member_invalid"),
        ({"member": "13800138000"}, "member_invalid"),
        ({"member": "-7"}, "member_invalid"),
        ({"member": "7.5"}, "member_invalid"),
        ({"member": "٧"}, "member_invalid"),
        ({"at": "下午"}, "time_invalid"),
        ({"at": "25:00"}, "time_invalid"),
        ({"at": "2026-13-01 17:00"}, "time_invalid"),
        ({"at": "15:59"}, "time_outside"),
        ({"at": "18:00"}, "time_outside"),
        ({"at": "2025-09-20 17:00"}, "time_outside"),
        ({"signed": ""}, "unsigned"),
    ],
)
def test_what_cannot_be_entered_says_why(cells: dict[str, str], reason: str) -> None:
    assert one(**cells) == Unusable(2, reason)


@pytest.mark.parametrize(
    "told",
    ["17:05", "17:05:00", "１７：０５", "17时05分", "2026-09-20 17:05", "2026/9/20 17:5", "2026年9月20日17时05分",
     "2026.09.20 17:05", "2026-09-20T17:05:00"],
)  # fmt: skip
def test_times_as_people_write_them(told: str) -> None:
    assert one(at=told) == Signed(2, 7, "张三", datetime(2026, 9, 20, 17, 5, tzinfo=CIVIL))


def test_a_time_to_come_is_none() -> None:
    assert entry(Row(2, {"member": "7", "name": "张三", "at": "17:05"}), WINDOW, NOW) == Unusable(2, "time_outside")


def test_a_time_belongs_to_the_day_on_which_it_lies_in_the_window() -> None:
    night = Window(1, NOW + 6 * HOUR, NOW + 9 * HOUR)
    found = entry(Row(2, {"member": "7", "name": "张三", "at": "00:30"}), night, NOW + 10 * HOUR)
    assert isinstance(found, Signed)
    assert found.happened_at == datetime(2026, 9, 21, 0, 30, tzinfo=CIVIL)


@given(st.dictionaries(st.sampled_from(["member", "name", "at", "signed"]), st.text(max_size=30)))
def test_whatever_the_cells_hold_a_row_is_signed_in_the_window_or_unusable(cells: dict[str, str]) -> None:
    found = one(**cells)
    if isinstance(found, Signed) and found.happened_at:
        assert WINDOW.opens_at <= found.happened_at < WINDOW.closes_at
        assert found.happened_at <= AFTER + timedelta(0)


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ("张 三", True),
        ("张三 ", True),
        ("扎西•多吉", True),
        ("扎西多吉", True),
        ("张三丰", False),
        ("", False),
        ("李四", False),
    ],
)
def test_a_name_is_the_same_whatever_spaces_and_dots(told: str, same: bool) -> None:
    assert same_name(told, "扎西·多吉" if "扎西" in told else "张三") is same
