"""The terminal's two languages: Chinese, or English when LANG (or LC_ALL) asks for it."""

import os


def english() -> bool:
    """Whether the terminal asks for English; unset, C and POSIX mean Chinese."""
    wanted = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return wanted.startswith("en")


def words(chinese: str, english_text: str) -> str:
    """The text in the terminal's language."""
    return english_text if english() else chinese
