"""How often a worker speaks by itself: pings and the viewers' count, within the bounds of the settings.

Promises: an interval grows with the worker's connections (so many messages a second at most) and with its lateness,
never below its least nor above its greatest; a client keeps the ping interval that its greeting told.
"""

import math
from typing import Final, NamedTuple

from service.config import Config
from service.live import packets

STEPS: Final = 5  # of the least ping interval: it grows by such parts, so that it changes rarely


class Bounds(NamedTuple):
    """The shortest and the longest that an interval may be; the shortest wins."""

    least: float
    greatest: float

    def interval(self, connections: int, *, per_second: float, stretch: float) -> float:
        """How often each of `connections` can be told something at `per_second` messages, `stretch` times slower."""
        return max(self.least, min(max(self.least, connections / per_second) * stretch, self.greatest))

    def step(self, seconds: float) -> float:
        """`seconds` rounded up to a whole step above the least, within the bounds."""
        step = self.least / STEPS
        above = math.ceil(round((seconds - self.least) / step, 6)) * step
        return max(self.least, min(self.least + above, self.greatest))


class Pace:
    """The intervals of one worker, and the greeting that tells one of them."""

    def __init__(self, config: Config, sid_length: int) -> None:
        self._config = config
        self._sid_length = sid_length
        self._pings = Bounds(config.ping_interval_seconds, config.ping_interval_max_seconds)
        self._counts = Bounds(config.count_seconds, config.count_max_seconds)
        self.ping_seconds = 0.0
        self.adjust(0, 1.0)

    def adjust(self, connections: int, stretch: float) -> None:
        """Follow the load."""
        per_second = self._config.messages_per_second
        self.count_seconds = self._counts.interval(connections, per_second=per_second, stretch=stretch)
        wanted = self._pings.interval(connections, per_second=per_second, stretch=stretch)
        seconds = self._pings.step(wanted)
        if seconds != self.ping_seconds:
            self.ping_seconds = seconds
            # One integer for all connections that are told so.
            self.ping_ticks = max(round(seconds / self._config.flush_seconds), 1)
            self._around = packets.greeting_around(
                self._sid_length,
                interval=seconds,
                timeout=self._config.ping_timeout_seconds,
                limit=self._config.max_message_bytes,
            )

    def greeting(self, sid: str) -> bytes:
        """Engine.IO's open packet for a connection."""
        before, after = self._around
        return b"%b%b%b" % (before, sid.encode(), after)
