"""Who enters a change of a register, and when: what every such rule is told."""

from datetime import date
from typing import NamedTuple

from service.errors import ServiceError


class Entry(NamedTuple):
    """An organiser's number, none for the command line, and the day of the entry."""

    today: date
    by: int | None = None


def refuse_future(on: date, today: date) -> None:
    """ServiceError validation if `on` is yet to come."""
    if on > today:
        raise ServiceError("validation", errors={"on": ["Must not be in the future."]})
