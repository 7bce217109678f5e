"""A paper list as a table: its columns in Chinese and English, and what each row says of whose attendance.

A row names its member by number and name. No column takes an identity number or a phone: with those alone anybody who
has a register of people could sign all of them in.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from service.checkin.occasion import Window
from service.clock import CIVIL, day_of
from service.sheets import Limits, Row, read

# The first spelling of each is the one that the sign-in sheet has.
COLUMNS = {
    "member": ("党员编号", "编号", "member number", "member"),
    "name": ("姓名", "党员姓名", "name"),
    "at": ("签到时间", "到场时间", "时间", "time", "checked in at"),
    "signed": ("签名", "签字", "签到", "signature", "signed"),
}
HEADINGS = {spelling: column for column, spellings in COLUMNS.items() for spelling in spellings}
# As `scope.LARGEST_MEMBER`: where a phone or identity number was typed it goes no further, not even into a refusal.
NUMBER = re.compile(r"[1-9]\d{0,9}", re.ASCII)
TIME = re.compile(
    r"(?:(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?[ T]?)?"
    r"(?P<hour>\d{1,2})[:时](?P<minute>\d{1,2})(?:[:分](?P<second>\d{1,2})(?:\.\d+)?秒?|分)?",
    re.ASCII,
)
DOTS = re.compile(r"[·•・‧∙.\s]")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a row says: who was there, and when if it says so."""

    row: int
    member: int
    name: str
    happened_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that says nothing that can be entered, and why; `blank` is nobody's fault: it was not signed."""

    row: int
    reason: str

    @property
    def blank(self) -> bool:
        return self.reason == "unsigned"


def entries(file: Path, window: Window, now: datetime, limits: Limits | None = None) -> Iterator[Signed | Unusable]:
    """Every row of a list, as it is read; ServiceError sheet_… if it is none."""
    seen: dict[int, int] = {}
    for row in read(file, headings=HEADINGS, required=("member", "name"), limits=limits):
        found = entry(row, window, now)
        if isinstance(found, Signed) and seen.setdefault(found.member, found.row) != found.row:
            found = Unusable(found.row, "repeated")
        yield found


def entry(row: Row, window: Window, now: datetime) -> Signed | Unusable:
    """What a row says, or why nothing that can be entered."""
    cells = row.cells
    if "signed" in cells and not cells["signed"]:
        return Unusable(row.number, "unsigned")
    if not cells["member"] or not cells["name"]:
        return Unusable(row.number, "member_missing" if not cells["member"] else "name_missing")
    if not NUMBER.fullmatch(cells["member"]):
        return Unusable(row.number, "member_invalid")
    told = cells.get("at", "")
    times = moments(told, window) if told else []
    if told and not times:
        return Unusable(row.number, "time_invalid")
    held = [one for one in times if window.opens_at <= one < window.closes_at and one <= now]
    if told and not held:
        return Unusable(row.number, "time_outside")
    return Signed(row.number, int(cells["member"]), cells["name"], held[0] if held else None)


def moments(told: str, window: Window) -> list[datetime]:
    """The moments in China that a cell can mean; without a date it is a time of any day of the window."""
    match = TIME.fullmatch(unicodedata.normalize("NFKC", told))
    if match is None:
        return []
    parts = {name: int(value) for name, value in match.groupdict().items() if value}
    try:
        if "year" in parts:
            return [datetime(**parts, tzinfo=CIVIL)]
        days = (day_of(window.closes_at) - day_of(window.opens_at)).days + 1
        first = day_of(window.opens_at)
        dates = [first + timedelta(days=one) for one in range(min(days, 31))]
        return [datetime(one.year, one.month, one.day, **parts, tzinfo=CIVIL) for one in dates]
    except ValueError:
        return []


def same_name(told: str, name: str) -> bool:
    """Whether a name on paper is the one on the roster; spaces, dots and width may differ."""
    return _plain(told) == _plain(name)


def _plain(name: str) -> str:
    return DOTS.sub("", unicodedata.normalize("NFKC", name)).casefold()
