"""How often each member asks, as the process that takes his requests knows by itself.

For what very many do within minutes: to count it in Valkey for all processes together would cost more than to do it.
"""

from collections import Counter

MINUTE_SECONDS = 60.0


class Frequency:
    """Counts of the current minute, which begins with the first request after the last one."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._ends = 0.0

    def wait(self, member: int, most: int, now: float) -> int:
        """Count one more request at `now`, monotonic; 0 if that makes at most `most`, else for how long to wait."""
        if now >= self._ends:
            self._ends = now + MINUTE_SECONDS
            self._counts.clear()
        self._counts[member] += 1
        return 0 if self._counts[member] <= most else max(1, round(self._ends - now))
