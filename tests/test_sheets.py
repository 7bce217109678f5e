"""Tables from outside and for outside: every spelling, every encoding, no surprise."""

import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import ServiceError
from service.sheets import Limits, Row, clean, read, write

HEADINGS = {"姓名": "name", "name": "name", "手机号": "phone", "phone": "phone"}


def table(folder: Path, content: bytes) -> Path:
    file = folder / "table"
    file.write_bytes(content)
    return file


def sheet(folder: Path, *rows: Sequence[object], start: int = 0, hidden_first: bool = False) -> Path:
    file = folder / "table.xlsx"
    with xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd"}) as book:
        if hidden_first:
            book.add_worksheet().hide()
        target = book.add_worksheet()
        target.activate()
        for number, row in enumerate(rows, start):
            target.write_row(number, 0, row)
    return file


def rows_of(file: Path, **wanted: object) -> list[Row]:
    return list(read(file, headings=HEADINGS, **wanted))  # type: ignore[arg-type]


def refused(file: Path, **wanted: object) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        rows_of(file, **wanted)
    return caught.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_reads_csv_as_spreadsheets_save_it(tmp_path: Path, encoding: str, separator: str) -> None:
    lines = ["姓名,手机号,备注", "张三,13800000001,x", "", '"李, 四",13800000002,y']
    text = "\r\n".join(lines).replace(",", separator).replace(f"李{separator}", "李,")
    assert rows_of(table(tmp_path, text.encode(encoding))) == [
        Row(2, {"name": "张三", "phone": "13800000001"}),
        Row(4, {"name": "李, 四", "phone": "13800000002"}),
    ]


def test_headings_may_vary_in_what_people_vary(tmp_path: Path) -> None:
    assert rows_of(table(tmp_path, "＊姓 名, PHONE\nA,1".encode())) == [Row(2, {"name": "A", "phone": "1"})]


def test_reads_the_first_visible_sheet_with_row_numbers_as_shown(tmp_path: Path) -> None:
    file = sheet(tmp_path, ["姓名", "手机号"], ["张三", 13800000001], [], [date(2020, 1, 2), True], hidden_first=True)
    assert rows_of(file) == [
        Row(2, {"name": "张三", "phone": "13800000001"}),
        Row(4, {"name": "2020-01-02", "phone": "True"}),
    ]


def test_a_number_that_has_lost_digits_does_not_look_like_one(tmp_path: Path) -> None:
    [row] = rows_of(sheet(tmp_path, ["name"], [510725199001011234]))
    assert not row.cells["name"].isdigit()


def test_what_cannot_be_seen_is_left_out() -> None:
    assert clean("\ufeff 张\u200b三\u3000 \n李\x00四 ") == "张三 李四"
    assert clean("\ue863") == "\ue863"  # a rare character of names in GBK's private area


def test_a_formula_is_kept_as_text_in_the_file(tmp_path: Path) -> None:
    target = io.BytesIO()
    write(target, "csv", headings=["name"], rows=[["=1+1"], ["-5"], ["@x"], ["＝1"], [7]])
    assert target.getvalue().decode("utf-8-sig").split() == ["name", "'=1+1", "'-5", "'@x", "'＝1", "7"]


def test_workbooks_hold_no_formula_and_no_link(tmp_path: Path) -> None:
    import zipfile

    target = io.BytesIO()
    write(target, "xlsx", headings=["name"], rows=[["=1+1"], ["https://example.org"], ["0123"]])
    with zipfile.ZipFile(target) as archive:
        inside = archive.read("xl/worksheets/sheet1.xml")
    assert b"<f>" not in inside
    assert b"hyperlink" not in inside
    assert b"0123" in inside


CELLS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["=1", "'=1", "''+", "'", "-", '"', "a\nb"])


@pytest.mark.parametrize(("kind", "examples"), [("csv", 200), ("xlsx", 8)])
def test_what_was_written_is_read_again(tmp_path: Path, kind: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(CELLS, CELLS), max_size=12))
    def law(pairs: list[tuple[str, str]]) -> None:
        texts = [tuple(" ".join(clean("x" + cell)[1:].split()) for cell in pair) for pair in pairs]
        target = io.BytesIO()
        write(target, kind, headings=["name", "phone"], rows=texts)
        found = [(row.cells["name"], row.cells["phone"]) for row in rows_of(table(tmp_path, target.getvalue()))]
        assert found == [pair for pair in texts if any(pair)]

    law()


def test_missing_and_repeated_columns_are_named(tmp_path: Path) -> None:
    error = refused(table(tmp_path, b"name,name\n1,2"), required=["phone"])
    assert (error.code, error.details["missing"], error.details["repeated"]) == ("sheet_columns", ["phone"], ["name"])


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n1,2"])
def test_a_table_without_known_headings_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(table(tmp_path, content)).code == "sheet_columns"


@pytest.mark.parametrize(
    ("limits", "row"), [(Limits(rows=1), 3), (Limits(columns=1), 1), (Limits(cell=5), 2), (Limits(file_bytes=9), None)]
)
def test_too_much_is_refused_with_its_row(tmp_path: Path, limits: Limits, row: int | None) -> None:
    error = refused(table(tmp_path, b"name,phone\n123456,1\n2,2\n"), limits=limits)
    assert (error.code, error.details.get("row")) == ("sheet_too_large", row)


@pytest.mark.parametrize("content", [b"name\n\xff\xff\xff", b"name\n\x80"])
def test_an_unknown_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(table(tmp_path, content)).details["reason"] == "encoding"


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    error = refused(table(tmp_path, b'name\n1\n"' + b"x" * 300_000))
    assert (error.code, error.details["row"]) == ("sheet_unreadable", 3)


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 no workbook"])
def test_a_broken_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(table(tmp_path, content)).details["reason"] == "workbook"


def test_a_workbook_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "far.xlsx"
    with xlsxwriter.Workbook(file) as book:
        target = book.add_worksheet()
        target.write(0, 0, "name")
        target.write(1_048_575, 16_383, "far away")
    assert refused(file).details["reason"] == "workbook"


def test_reading_may_stop_early(tmp_path: Path) -> None:
    rows = read(sheet(tmp_path, ["name"], *([str(number)] for number in range(20_000))), headings=HEADINGS)
    assert next(rows).number == 2
    rows.close()  # type: ignore[attr-defined]
