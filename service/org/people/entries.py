"""The roster as a table: its columns in Chinese and English, and what each row says of a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.org.models import CATEGORIES as CATEGORY_VALUES
from service.org.models import STATUSES as STATUS_VALUES
from service.org.people.numbers import NORMAL
from service.sheets import Row, read

# The first spelling of each is the one that is written.
COLUMNS = {
    "name": ("姓名", "党员姓名", "name"),
    "organisation": ("所属党支部编号", "所属党支部", "党支部", "支部编号", "organisation", "branch"),
    "phone": ("手机号", "手机号码", "联系电话", "电话", "phone", "mobile"),
    "identity": ("身份证号", "身份证号码", "公民身份号码", "identity", "identity number"),
    "place": ("现居地代码", "现居地行政区划代码", "行政区划代码", "place", "place code"),
    "status": ("状态", "党员状态", "status"),
    "category": ("党员类别", "人员类别", "类别", "category"),
}
HEADINGS = {spelling: column for column, spellings in COLUMNS.items() for spelling in spellings}
STATUSES = {status: status for status in STATUS_VALUES} | {
    **dict.fromkeys(("在册", "正常"), "active"),
    **dict.fromkeys(("流动", "流动党员"), "floating"),
    **dict.fromkeys(("出国", "出国境", "出国（境）", "出国(境)"), "abroad"),
    **dict.fromkeys(("失联", "失去联系"), "out_of_contact"),
    **dict.fromkeys(("已转出", "转出"), "left"),
}
CATEGORIES = {category: category for category in CATEGORY_VALUES} | {
    **dict.fromkeys(("正式", "正式党员"), "full"),
    **dict.fromkeys(("预备", "预备党员"), "probationary"),
}
LONGEST_NAME = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says; `organisation` is a number or a name, and what is None or absent is not said."""

    row: int
    name: str
    organisation: str
    place: str | None
    status: str | None
    category: str | None
    numbers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that cannot be an entry, and why."""

    row: int
    reasons: tuple[str, ...]


def entries(file: Path) -> Iterator[Entry | Unusable]:
    """Every row of a roster, as it is read; ServiceError sheet_… if it is no roster."""
    return map(entry, read(file, headings=HEADINGS, required=("name", "organisation")))


def entry(row: Row) -> Entry | Unusable:
    """What a row says, or why it says nothing that can be used."""
    said = {column: row.cells.get(column, "") for column in COLUMNS}
    numbers = {kind: NORMAL[kind](said[kind]) for kind in NORMAL if said[kind]}
    status, category = STATUSES.get(said["status"].casefold()), CATEGORIES.get(said["category"].casefold())
    wrong = {
        "name_missing": not said["name"],
        "name_too_long": len(said["name"]) > LONGEST_NAME,
        "organisation_missing": not said["organisation"],
        "number_missing": not numbers,
        "status_unknown": bool(said["status"]) and status is None,
        "category_unknown": bool(said["category"]) and category is None,
        **{f"{kind}_invalid": number is None for kind, number in numbers.items()},
    }
    reasons = tuple(reason for reason, broken in wrong.items() if broken)
    if reasons:
        return Unusable(row.number, reasons)
    right = {kind: number for kind, number in numbers.items() if number}
    return Entry(row.number, said["name"], said["organisation"], said["place"] or None, status, category, right)
