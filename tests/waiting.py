"""Waiting for a condition instead of sleeping for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(found: Callable[[], T], *, within: float = 10.0, every: float = 0.05) -> T:
    """The first true answer of `found`; AssertionError with the last answer if none comes `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = found()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {within} s")
        time.sleep(every)
