"""The rules for a template's fields, whose type is the beginning of their name: `thing1`, `time2`, `amount3`.

As told by WeChat's page on sending subscribe messages. Free text is shortened; what would become another thing by
shortening (a number, a time, a code) is refused by the name of its field, as WeChat would refuse it with 47003.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

FIELD = re.compile(r"([a-z]+(?:_[a-z]+)*)[0-9]+")
DAY = r"[0-9]{4}年(?:0?[1-9]|1[0-2])月(?:0?[1-9]|[12][0-9]|3[01])日"
CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?"
CHINESE = r"[\u3400-\u9fff\U00020000-\U000323af]"
SIGNS = r"[!-/:-@\[-`{-~]"


class FieldError(ValueError):
    """A field's value that WeChat would refuse."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def _range(moment: str) -> str:
    return rf"{moment}(?:\s?~\s?{moment})?"


# What a value must look like, whole.
SHAPES = {
    "thing": r".{1,20}",
    "number": r"(?=.{1,32}\Z)-?[0-9]+(?:\.[0-9]+)?",
    "letter": r"[A-Za-z]{1,32}",
    "symbol": r"[^\w\s]{1,5}",
    "character_string": rf"(?:[A-Za-z0-9]|{SIGNS}){{1,32}}",
    "time": _range(rf"(?:{DAY} )?{CLOCK}"),
    "date": _range(rf"{DAY}(?: {CLOCK})?"),
    "amount": r"[¥￥$€£]?[0-9]{1,10}(?:\.[0-9]+)?元?",
    "phone_number": r"[0-9+() -]{1,17}",
    "car_number": rf"(?=.{{1,8}}\Z){CHINESE}?[A-Za-z0-9]+{CHINESE}?",
    "name": rf"(?:{CHINESE}|[·•]){{1,10}}|[A-Za-z .'·-]{{1,20}}",
    "phrase": rf"{CHINESE}{{1,5}}",
    "enum": r".{1,20}",
}
PATTERNS = {kind: re.compile(shape) for kind, shape in SHAPES.items()}


def _shortened(limit: int) -> Callable[[str], str]:
    return lambda text: text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _cut_name(text: str) -> str:
    """Ten Chinese characters or twenty letters."""
    return text[: 10 if re.match(CHINESE, text) else 20].rstrip()


SHORTEN: dict[str, Callable[[str], str]] = {
    "thing": _shortened(20),
    "name": _cut_name,
    "phrase": lambda text: text[:5],
}


def fit(data: Mapping[str, str]) -> dict[str, str]:
    """`data` as WeChat takes them; FieldError names the first field that cannot be made to fit."""
    return {field: _fit(field, value) for field, value in data.items()}


def _fit(field: str, value: str) -> str:
    named = FIELD.fullmatch(field)
    kind = named[1] if named else ""
    if kind not in PATTERNS:
        raise FieldError(field)
    text = _plain(value)
    text = SHORTEN.get(kind, str)(text)
    if not PATTERNS[kind].fullmatch(text):
        raise FieldError(field)
    return text


def _plain(value: str) -> str:
    """Without control characters, each of which separates as a space does; unpaired surrogates cannot be sent."""
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") else one for one in value)
    return " ".join(shown.split())
