"""What became of the rows of a file of organisations in words, Chinese and English."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from service.errors import ERRORS

if TYPE_CHECKING:
    from service.org.tree.importing import Fate

# Picks one of two texts.
Words = Callable[[str, str], str]

FATES = {
    "added": ("新增", "added"),
    "changed": ("变更", "changed"),
    "unchanged": ("不变", "unchanged"),
    "refused": ("拒绝", "refused"),
}
TITLES = (("行", "row"), ("组织代码", "code"), ("组织名称", "name"), ("结果", "fate"), ("说明", "details"))


def explained(fate: "Fate", words: Words) -> str:
    """What changed, or why the row was refused."""
    return ", ".join(f"{words(*ERRORS[one][1:])} ({one})" if one in ERRORS else one for one in fate.what)


def table(fates: "Sequence[Fate]", words: Words) -> tuple[list[str], list[tuple[int, str, str, str, str]]]:
    """The headings and the rows of a report."""
    rows = [(one.row, one.code, one.name, words(*FATES[one.fate]), explained(one, words)) for one in fates]
    return [words(*title) for title in TITLES], rows
