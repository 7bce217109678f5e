"""Quiet hours: from when until when, in the member's own zone, nobody is to be woken."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


class Wish(Protocol):
    """What a member said of hours of quiet."""

    @property
    def timezone(self) -> str: ...
    @property
    def quiet_from(self) -> time | None: ...
    @property
    def quiet_until(self) -> time | None: ...


@dataclass(frozen=True)
class Quiet:
    """A part of every day; `start` after `end` leads over midnight, and the same twice is no quiet at all."""

    zone: str
    start: time
    end: time

    @classmethod
    def of(cls, wish: Wish) -> "Quiet":
        """The quiet hours of a member who has some; of one who has none, none."""
        return cls(wish.timezone, wish.quiet_from or time(), wish.quiet_until or time())

    def covers(self, moment: datetime) -> bool:
        """Whether it is quiet at `moment`."""
        clock = moment.astimezone(ZoneInfo(self.zone)).time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def ends(self, moment: datetime) -> datetime:
        """The first moment from `moment` on at which it is not quiet."""
        if not self.covers(moment):
            return moment
        local = moment.astimezone(ZoneInfo(self.zone))
        end = datetime.combine(local.date(), self.end, tzinfo=local.tzinfo)
        if local.time() >= self.end:
            end = datetime.combine(local.date() + timedelta(days=1), self.end, tzinfo=local.tzinfo)
        # Where a clock is put back the end may come twice, and where it is put forward never: then an hour later.
        return max(end.astimezone(UTC), moment + timedelta(minutes=1))
