"""Fair shares of the courier's room for every lane."""

import math
import random
from collections import Counter
from typing import Generic, TypeVar

from service.notify.queue import Lane

L = TypeVar("L", bound=Lane)


class Places(Generic[L]):
    """How many deliveries each lane, an endpoint or a channel, may have under way.

    One more after a success, half after a failure: a lane that is slow or broken is given fewer and fewer.
    """

    def __init__(self, *, each: int, capacity: int = 0) -> None:
        self.capacity = capacity
        self._each = each
        self._limits: dict[L, int] = {}
        self.taken: Counter[L] = Counter()

    def free(self, lane: L) -> int:
        """How many more may start now."""
        return max(0, self._limits.get(lane, self._each) - self.taken[lane])

    def learn(self, lane: L, *, success: bool) -> None:
        """Adapt to what came of an attempt."""
        limit = self._limits.get(lane, self._each)
        grown = limit + 1 if success else max(1, limit // 2)
        if grown >= self._each:
            self._limits.pop(lane, None)
        else:
            self._limits[lane] = grown

    def share(self, waiting: list[L], room: int) -> dict[L, int]:
        """Divide `room` among the `waiting` lanes so that, with what they hold already, they have alike."""
        shares: dict[L, int] = {}
        hungry = [lane for lane in waiting if self.free(lane)]
        # Where there is less room than lanes, chance decides who goes first, not the order of their ids.
        random.shuffle(hungry)
        held = sum(self.taken[lane] for lane in hungry)
        fair = math.ceil((room + held) / max(1, len(hungry)))
        for lane in hungry:
            wanted = fair - self.taken[lane]
            given = min(wanted, self.free(lane), room - sum(shares.values()))
            if given > 0:
                shares[lane] = given
        return shares
