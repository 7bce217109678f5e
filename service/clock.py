"""The one place that reads the wall clock; rules take `now` as an argument."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

# Registers are dated by the civil day in China, wherever the server stands.
CIVIL = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`moment` as ISO 8601 in UTC with milliseconds and a Z, the one form that leaves this service."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(moment: datetime) -> date:
    """The civil day of `moment`."""
    return moment.astimezone(CIVIL).date()
