"""How hard a worker is pressed, and who may come in for it: newcomers are let in no faster than it can bear.

Pure: time is an argument. Promises: while the loop is on time everybody is let in at once; while it is not, at least
`LEAST` a second are, and no more than were during the second before.
"""

import math
import random
from collections.abc import Callable
from typing import Final

LEAST: Final = 50.0  # newcomers a second that are let in whatever happens
SLOWER: Final = 0.7  # of those let in during a second that was late may come in the next
FASTER: Final = 1.5  # times as many after a second on time
BURST_SECONDS: Final = 0.2
RETRY_SECONDS: Final = (1, 30)  # the least and the greatest hint when to come back

CALM_SECONDS: Final = 0.25  # lateness that stretches no interval
STRETCH: Final = 1.1  # by a second that was later; undone by one that was not
STRETCH_LIMIT: Final = 8.0


class Pressure:
    """The lateness of a worker's ticks, and who may come in for it."""

    def __init__(self, bound: float, now: float) -> None:
        self.stretch = 1.0  # of the intervals at which a worker speaks by itself
        self.rate = math.inf  # newcomers a second
        self._bound = bound
        self._late = 0.0
        self._crowded = False
        self._since = self._filled_at = now
        self._tokens = 0.0
        self._admitted = self._refused = 0
        self.refused = 0  # in the last second

    def tick(self, late: float, now: float, *, crowded: bool = False) -> bool:
        """A tick came `late`; whether a second is over. `crowded`: too many have not finished their handshake."""
        self._late = max(self._late, late)
        self._crowded = self._crowded or crowded
        seconds = now - self._since
        if seconds < 1.0:
            return False
        self._second(seconds)
        self._since = now
        self._late, self._crowded = 0.0, False
        self.refused, self._refused, self._admitted = self._refused, 0, 0
        return True

    def _second(self, seconds: float) -> None:
        if self._late > self._bound or self._crowded:
            self.rate = max(min(self.rate, self._admitted / seconds) * SLOWER, LEAST)
        elif self._refused:
            self.rate *= FASTER
        else:
            self.rate = math.inf
        grown = self.stretch * STRETCH if self._late > CALM_SECONDS else self.stretch / STRETCH
        self.stretch = min(max(grown, 1.0), STRETCH_LIMIT)

    def admits(self, now: float) -> bool:
        """Whether one more may come in now."""
        if self.rate == math.inf:
            self._admitted += 1
            return True
        filled = self._tokens + (now - self._filled_at) * self.rate
        self._tokens = min(filled, max(self.rate * BURST_SECONDS, 1.0))
        self._filled_at = now
        if self._tokens < 1.0:
            self._refused += 1
            return False
        self._tokens -= 1.0
        self._admitted += 1
        return True

    def retry_after(self, choose: Callable[[int, int], int] = random.randint) -> int:
        """A hint in whole seconds: somewhere within the time that it takes to let in all who were sent away."""
        least, most = RETRY_SECONDS
        waiting = 0.0 if self.rate == math.inf else (self.refused + self._refused) / self.rate
        return choose(least, min(max(math.ceil(2 * waiting), 10), most))
