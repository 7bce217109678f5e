"""How a sign-in sheet is laid out: A4, one line a person, the headings and a title on every page, a page for a branch.

The title stands in the page's header and not in a cell, so that the first row is the headings and the sheet can be
typed in again as a paper list. Nothing in it is a formula, whatever people are called.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from service.checkin.attendance.sheet import Line, Sheet
from service.clock import CIVIL
from service.document import WORKBOOK
from service.labels import LABELS
from service.sheets import AS_IS, harmless

KIND = WORKBOOK
# Excel breaks no sheet into more pages by hand, and prints no longer header or footer.
BREAKS = 1_000
HEADER = 250
A4 = 9
HEIGHT = 24

# Chinese, English, and how wide.
COLUMNS = (
    ("序号", "No.", 6), ("党员编号", "Member number", 11), ("姓名", "Name", 12), ("所在支部", "Branch", 22),
    ("类别", "Standing", 12), ("情况", "State", 8), ("签到方式", "Method", 10), ("签到时间", "Time", 16),
    ("签名", "Signature", 18),
)  # fmt: skip
WORDS = {
    "expected": ("应到", "expected"), "exempt": ("免到", "exempt"), "guest": ("列席", "guest"),
    "came": ("参加", "took part"), "staying": ("流入", "staying"), "present": ("实到", "present"),
    "on_leave": ("请假", "on leave"), "sheet": ("签到表", "sign-in sheet"), "made": ("制表", "made"),
    "self": ("自行签到", "self"), "onsite_qr": ("现场码", "on-site code"), "group": ("集中收看", "collective"),
    "proxy": ("代签", "proxy"), "paper": ("纸质签到", "paper"),
    "heads": ("集中收看清点人数（不记名，不计入）", "heads counted, without names, in no sum"),
}  # fmt: skip


def write(target: BinaryIO, sheet: Sheet, language: str) -> None:
    """The sheet as XLSX; `language` is zh or en."""
    speaks = 1 if language == "en" else 0
    with xlsxwriter.Workbook(target, {"constant_memory": True, **AS_IS}) as book:
        page = book.add_worksheet()
        lay_out(page, sheet, speaks)
        bold, ruled = book.add_format({"bold": True, "border": 1}), book.add_format({"border": 1, "valign": "vcenter"})
        page.write_row(0, 0, [column[speaks] for column in COLUMNS], bold)
        for number, line in enumerate(sheet.lines, 1):
            page.set_row(number, HEIGHT)
            cells = told(number, line, sheet, speaks)
            page.write_row(number, 0, [harmless(cell) for cell in cells], ruled)
        page.set_h_pagebreaks(list(breaks(sheet.lines))[:BREAKS])


def lay_out(page: Worksheet, sheet: Sheet, speaks: int) -> None:
    """Paper, widths, and what every page says above and below."""
    page.set_paper(A4)
    # By scale: fitted to a width, a page would break for no branch.
    page.set_print_scale(80)
    page.set_margins(left=0.4, right=0.4, top=1.0, bottom=0.8)
    page.repeat_rows(0)
    page.freeze_panes(1, 0)
    for place, column in enumerate(COLUMNS):
        page.set_column(place, place, column[2])
    day = f"{sheet.held_at.astimezone(CIVIL):%Y-%m-%d}"
    title = f"{sheet.activity.theme} {WORDS['sheet'][speaks]}"
    page.set_header(f"&C&14 {plain(title, 120)}\n&10 {plain(sheet.branch, 60)}  {day}"[:HEADER])
    made = f"{WORDS['made'][speaks]} {sheet.made_at.astimezone(CIVIL):%Y-%m-%d %H:%M} {LABELS[sheet.label][0]}"
    page.set_footer(f"&L{sums(sheet, speaks)}&C&P/&N&R{made}"[:HEADER])


def sums(sheet: Sheet, speaks: int) -> str:
    """How many there are of each; heads without names stand apart."""
    counts = sheet.counts
    if sheet.activity.attendance == "rostered":
        names = ["expected", *(one for one in ("present", "on_leave", "exempt", "guest", "staying") if counts[one])]
        parts = [f"{WORDS[name][speaks]} {counts[name]}" for name in names]
    else:
        parts = [f"{WORDS['came'][speaks]} {len(sheet.lines)}"]
    heads = [f"{WORDS['heads'][speaks]} {sheet.heads.headcount}"] if sheet.heads.counted else []
    return "  ".join(parts + heads)


def told(number: int, line: Line, sheet: Sheet, speaks: int) -> Sequence[str | int | None]:
    """The cells of a line; the last one is to sign in."""
    rostered = sheet.activity.attendance == "rostered"
    standing = WORDS[line.standing if rostered else "came"][speaks]
    if line.staying:
        standing = f"{standing} ({WORDS['staying'][speaks]})"
    came = line.method is not None
    state = "present" if came else "on_leave" if line.on_leave else None
    at = f"{line.happened_at.astimezone(CIVIL):%Y-%m-%d %H:%M}" if line.happened_at else ""
    who = line.member if line.member > 0 else None
    method = WORDS[line.method][speaks] if line.method else ""
    return number, who, line.name, line.branch, standing, WORDS[state][speaks] if state else "", method, at, ""


def breaks(lines: Sequence[Line]) -> Iterator[int]:
    """The rows before which another branch begins."""
    for number, (before, line) in enumerate(pairwise(lines), 2):
        if line.home_path != before.home_path:
            yield number


def plain(text: str, most: int) -> str:
    """`text` as a page's header takes it, where & begins a command."""
    return text[:most].replace("&", "&&")
