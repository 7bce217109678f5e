"""What one gateway worker reads from and writes to PostgreSQL, none of it on the way of a join.

Promises: rules are refreshed every `deny_refresh_seconds`, and at once (though at most twice a second) when asked for;
the gateway is heard every second; stays are written every `stay_batch_seconds`, late but complete after an outage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from service.config import Config
from service.live import admission, stays
from service.live.clerk import Clerk, Link

BEAT_SECONDS = 1.0
REFRESH_AGAIN_SECONDS = 0.5
STALE_REFRESHES = 3

log = structlog.get_logger(__name__)


class Books:
    """Rules in, stays and heartbeats out, by one clerk."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        *,
        gateway: str,
        prefix: str,
        refreshed: Callable[[bool], None],
    ) -> None:
        self.rules = admission.NOTHING
        self.stays = stays.Stays(config.stay_buffer)
        self.clock_known = self.loaded = False
        # Until the database has said what time it is, our own clock must do.
        self._offset = time.time() - time.monotonic()
        self._config = config
        self._loop = loop
        self._gateway = gateway
        self._prefix = prefix
        self._refreshed = refreshed
        self._clerk = Clerk(config.database_url, loop)
        self._best_trip = float("inf")
        self.refreshes = 0  # begun so far
        self._asked: set[int] = set()
        self._beating = self._writing = self._refreshing = False
        self._beat_at = self._write_at = self._refresh_at = self._again_at = 0.0
        self._fresh_at = time.monotonic()
        self._alarmed = False

    def wall(self, moment: float) -> float:
        """`moment` of the monotonic clock in Unix seconds of the database's clock."""
        return moment + self._offset

    def clock(self) -> datetime:
        """The present moment by the database's clock: a gateway whose own is off judges tokens rightly all the same."""
        return datetime.fromtimestamp(self.wall(time.monotonic()), UTC)

    def age(self, now: float) -> float:
        """Seconds since the rules were read; since the start as long as they never were."""
        return now - self._fresh_at

    @property
    def reachable(self) -> bool:
        """Whether the database did what it was last asked for."""
        return not self._clerk.failing

    def tick(self, now: float) -> None:
        """Hand the clerk what is due."""
        if now >= self._beat_at and not self._beating:
            self._beat_at = now + BEAT_SECONDS
            self._beat()
        if now >= self._write_at and not self._writing:
            self._write_at = now + self._config.stay_batch_seconds
            self._write()
        if now >= self._refresh_at and not self._refreshing:
            self._refresh(now)
        self._watch_age(now)

    def refresh_soon(self, now: float, stream: int) -> None:
        """An unknown stream was asked for: refresh, unless that was just done."""
        self._asked.add(stream)
        self._refresh_at = min(self._refresh_at, max(now, self._again_at))

    async def finish(self, seconds: float) -> None:
        """Write what waits, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        while (len(self.stays) or self._writing) and time.monotonic() < deadline:
            self._write_at = 0.0
            if not self._writing:
                self._write()
            await asyncio.sleep(0.02)
        if len(self.stays):
            log.error("stays lost at the end", count=len(self.stays))

    def _beat(self) -> None:
        self._beating = True
        beat = stays.heartbeat(self._gateway)

        def job(connection: Link) -> tuple[float, float, float]:
            before = time.monotonic()
            return before, beat(connection), time.monotonic()

        self._clerk.submit(job, self._heard)

    def _heard(self, answer: tuple[float, float, float] | None) -> None:
        self._beating = False
        if answer is None:
            return
        before, theirs, after = answer
        # A quick round trip measures the offset best; forget slowly how quick the best one was.
        self._best_trip = min(self._best_trip * 1.1 + 0.0001, after - before)
        if after - before <= self._best_trip * 2 or not self.clock_known:
            self._offset = theirs - (before + after) / 2
        self.clock_known = True

    def _write(self) -> None:
        rows = self.stays.take() if self.clock_known else []
        if rows:
            self._writing = True
            job = stays.writing(rows, prefix=self._prefix, gateway=self._gateway, offset=self._offset)
            self._clerk.submit(job, self._wrote)

    def _wrote(self, refused: int | None) -> None:
        self._writing = False
        if refused is not None:
            self.stays.written(refused)
            if len(self.stays) >= stays.BATCH:
                self._write()

    def _refresh(self, now: float) -> None:
        self._refreshing = True
        self.refreshes += 1
        self._refresh_at = now + self._config.deny_refresh_seconds
        self._again_at = now + REFRESH_AGAIN_SECONDS
        asked, self._asked = self._asked, set()
        self._clerk.submit(partial(admission.load, asked=asked), self._loaded)

    def _loaded(self, rules: admission.Rules | None) -> None:
        self._refreshing = False
        if rules is not None:
            self.rules = rules
            self.loaded = True
            self._fresh_at = time.monotonic()
            self._alarmed = False
        self._refreshed(rules is not None)

    def _watch_age(self, now: float) -> None:
        if self.age(now) > STALE_REFRESHES * self._config.deny_refresh_seconds and not self._alarmed:
            self._alarmed = True
            log.error("deny list and streams are stale; admitting by the last ones", seconds=round(self.age(now)))
