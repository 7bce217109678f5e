"""People of the fixture: numbers that can be right, and belong to nobody."""

from service.org.people.numbers import check_character


def phone_of(number: int) -> str:
    """A different phone for each number."""
    return f"139{number:08d}"


def identity_of(number: int) -> str:
    """A different identity number for each number."""
    digits = f"510725{1950 + number % 50}{1 + number % 12:02d}{1 + number % 28:02d}{number % 1000:03d}"
    return digits + check_character(digits)
