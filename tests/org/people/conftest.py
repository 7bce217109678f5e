"""People of the fixture: numbers that can be right, and belong to nobody."""

from datetime import UTC, datetime

from service import audit
from service.org.people import identity
from service.org.people.numbers import check_character

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


def phone_of(number: int) -> str:
    """A different phone for each number."""
    return f"139{number:08d}"


def identity_of(number: int) -> str:
    """A different identity number for each number."""
    digits = f"510725{1950 + number % 50}{1 + number % 12:02d}{1 + number % 28:02d}{number % 1000:03d}"
    return digits + check_character(digits)


def revealed(member: int, kind: str) -> str | None:
    """A number in the clear, as the operator is told it."""
    return identity.reveal(member, kind, to=audit.OPERATOR, now=NOW)
