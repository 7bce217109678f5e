"""Phone and identity numbers as people write them, and whether they can be right."""

import re
import unicodedata
from datetime import date

PHONE = re.compile(r"1[3-9]\d{9}", re.ASCII)
IDENTITY = re.compile(r"[1-9]\d{16}[\dX]", re.ASCII)
# GB 11643: the check character is what makes the weighted sum 1 modulo 11; ISO 7064, MOD 11-2.
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_CHARACTERS = "10X98765432"
SEPARATORS = re.compile(r"[\s\-‐‑–—()]")
TAIL = 4


def phone(text: str) -> str | None:
    """A mobile number of mainland China as eleven digits; None if it cannot be one."""
    found = _plain(text)
    for prefix in ("+86", "0086"):
        found = found.removeprefix(prefix)
    return found if PHONE.fullmatch(found) else None


def identity(text: str) -> str | None:
    """A citizen identity number of 18 characters (GB 11643); None if date or check character are wrong."""
    found = _plain(text).upper()
    if not IDENTITY.fullmatch(found) or found[17] != check_character(found) or not _is_date(found[6:14]):
        return None
    return found


def check_character(digits: str) -> str:
    """The last character of an identity number that begins with these 17 digits."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=False))
    return CHECK_CHARACTERS[total % 11]


NORMAL = {"phone": phone, "identity": identity}


def _plain(text: str) -> str:
    return SEPARATORS.sub("", unicodedata.normalize("NFKC", text))


def _is_date(text: str) -> bool:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).year >= 1850
    except ValueError:
        return False
