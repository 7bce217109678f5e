"""What became of a roster's rows in words, Chinese and English."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.org.people.enrolment import Fate

# Picks one of two texts.
Words = Callable[[str, str], str]

FATES = {
    "added": ("新增", "added"),
    "changed": ("变更", "changed"),
    "same": ("未变", "same"),
    "refused": ("拒绝", "refused"),
}
REASONS = {
    "name_missing": ("缺姓名", "no name"),
    "name_too_long": ("姓名过长", "name too long"),
    "organisation_missing": ("缺所属党支部", "no organisation"),
    "number_missing": ("手机号与身份证号均缺", "neither phone nor identity number"),
    "phone_invalid": ("手机号有误", "not a phone number"),
    "identity_invalid": ("身份证号有误", "not an identity number"),
    "status_unknown": ("未知状态", "unknown status"),
    "category_unknown": ("未知党员类别", "unknown category"),
    "repeated": ("与前面的行重复", "repeats an earlier row"),
    "organisation_unknown": ("未找到该党支部", "no such organisation"),
    "organisation_ambiguous": ("党支部重名，请用编号", "several organisations of this name, use the number"),
    "place_unknown": ("未知行政区划代码", "unknown place code"),
    "numbers_of_two_members": ("手机号与身份证号属于两名党员", "phone and identity number are two members'"),
    "member_elsewhere": ("该党员在其他组织", "the member is elsewhere"),
    "identity_differs": ("身份证号与已登记的不同", "another identity number is known"),
}
TITLES = (("行", "row"), ("结果", "fate"), ("党员编号", "member"), ("说明", "details"))


def described(fate: "Fate", words: Words) -> str:
    """Why a row was refused, or what it changes."""
    whys = [words(*REASONS[reason]) for reason in fate.reasons]
    return "; ".join([*whys, *(f"{field}: {before or '-'} → {after or '-'}" for field, before, after in fate.changes)])


def table(fates: "Sequence[Fate]", words: Words) -> tuple[list[str], list[tuple[int, str, int | None, str]]]:
    """The headings and the rows of a report."""
    rows = [(one.row, words(*FATES[one.fate]), one.member, described(one, words)) for one in fates]
    return [words(*title) for title in TITLES], rows
