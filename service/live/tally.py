"""What one gateway worker counts in one slot of a stream: the holding, its flushes, and what Valkey last said.

Promises: one flush at a time, at most `flush_seconds` after a change and every `renew_seconds`; a slot that cannot be
reached delays no other one.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import redis
import structlog

from service.live import muster
from service.live.presence import Attribution, Holding, Reply, flush
from service.live.scripts import Slot

if TYPE_CHECKING:
    from service.live.audience import Audience
    from service.live.connection import Connection

RETRY_SECONDS = 0.25

log = structlog.get_logger(__name__)


class Tally:
    """The members of one slot that this worker holds."""

    __slots__ = (
        "_audience", "_changed", "_flushing", "_gateway", "_muster_at", "_renew_at", "_replied_at", "_retry_at",
        "_since", "_waiting", "holding", "reachable", "renewed_at", "reply", "tried",
    )  # fmt: skip

    def __init__(self, slot: Slot, audience: Audience) -> None:
        self.holding = Holding(slot)
        self.reply: Reply | None = None
        self.reachable = True
        self.tried = False  # whether a flush was answered or given up
        self._audience = audience
        self._gateway = audience.gateway
        self._waiting: list[tuple[Connection, str]] = []
        self._changed = False
        self._since = 0.0  # what was not told yet happened after this
        self._flushing: asyncio.Task[None] | None = None
        self._retry_at = self._renew_at = self._muster_at = self._replied_at = 0.0
        self.renewed_at = self._gateway.now()  # by a flush that was begun then, and answered

    def enter(self, member: int, attribution: Attribution) -> None:
        """A connection of `member` has joined."""
        self.holding.join(member, attribution)
        self.holding.connect()
        self._changed = True

    def exit(self) -> None:
        """A connection is no longer here; its member counts until `leave`."""
        self.holding.disconnect()
        self._changed = True

    def leave(self, member: int) -> None:
        """A connection of `member` is let go."""
        self.holding.leave(member)
        self._changed = True

    def answer_after_flush(self, connection: Connection, ack: str) -> None:
        """Acknowledge a join when it is counted."""
        self._waiting.append((connection, ack))
        self._changed = True

    @property
    def over(self) -> bool:
        """Whether nobody is here and Valkey knows it."""
        return self._flushing is None and not self._waiting and self.holding.empty

    def tick(self, now: float, *, keep: bool) -> None:
        """Flush when it is time; with `keep` the lease goes on though nobody is held here."""
        renew = now >= self._renew_at
        if self._flushing is None and (self._changed or renew) and now >= self._retry_at:
            if renew:
                self._renew_at = now + self._gateway.config.renew_seconds
            self._flushing = self._gateway.loop.create_task(self._flush(renew=renew, keep=keep))

    async def finish(self) -> None:
        """Bring Valkey up to date and end the lease; whatever fails, the lease ends by itself."""
        if self._flushing is not None:
            await self._flushing
        await self._flush(renew=True, keep=False)

    async def _flush(self, *, renew: bool, keep: bool) -> None:
        gateway = self._gateway
        waiting, self._waiting = self._waiting, []
        self._changed = False
        begun = gateway.now()
        self._since = self._since or begun
        late_at = self._since + gateway.timing.late / 1000
        try:
            reply = await flush(
                gateway.script, self.holding, timing=gateway.timing, renew=renew, keep=keep,
                late=lambda: gateway.now() > late_at, clock=self._clock,
            )  # fmt: skip
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            waiting, self._waiting = waiting + self._waiting, []
        else:
            self._succeeded(reply, begun)
        finally:
            self._flushing = None
        self.tried = True
        self._audience.flushed(waiting)
        self._muster()

    def _clock(self) -> int:
        """Valkey's clock in milliseconds: what its last answer said, and the time since; 0 before the first."""
        if self.reply is None:
            return 0
        return round((self.reply.as_of.timestamp() + self._gateway.now() - self._replied_at) * 1000)

    def _muster(self) -> None:
        """Show the audit whom our connections hold, now and then, when nothing waits to be told."""
        gateway = self._gateway
        if gateway.now() >= self._muster_at and self.reachable and self.holding.settled:
            seconds = gateway.config.audit_seconds
            self._muster_at = gateway.now() + seconds * random.uniform(0.8, 1.0)
            present = muster.present(gateway, self._audience, self.holding.slot)
            # In the place of a flush: nothing is told meanwhile. What others change in the holding is not shown.
            showing = self._show(present, dict(self.holding.told), seconds)
            self._flushing = gateway.loop.create_task(showing)

    async def _show(self, present: dict[int, Attribution], told: dict[int, str], seconds: float) -> None:
        try:
            await muster.show(self._gateway.muster_script, self.holding, present, told, seconds=seconds)
        except (redis.RedisError, OSError) as error:
            log.warning("muster not shown", slot=self.holding.slot.tag, error=type(error).__name__)
        finally:
            self._flushing = None

    def _failed(self, error: Exception) -> None:
        self._gateway.meter.flush_failed()
        self._changed = True
        self._retry_at = self._gateway.now() + RETRY_SECONDS
        if self.reachable:
            self.reachable = False
            log.warning("count unavailable", slot=self.holding.slot.tag, error=type(error).__name__)

    def _succeeded(self, reply: Reply | None, begun: float) -> None:
        self._gateway.meter.flushed(self._gateway.now() - begun)
        self._since = 0.0
        self.renewed_at = begun
        if reply is not None:
            self.reply = reply
            self._replied_at = self._gateway.now()
        if not self.reachable:
            self.reachable = True
            self._audience.push_soon()
            log.warning("count is back", slot=self.holding.slot.tag)
