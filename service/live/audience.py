"""Everybody in one stream on one worker: the joins that wait for their flush, and the count that is pushed.

Promises: one flush at a time, at most `flush_seconds` after a change and every `renew_seconds`; a join is acknowledged
after the flush that carried it, or, without Valkey, with an unknown count; the count follows as soon as Valkey is back.
A push is encoded once and written in slices, between which the loop does other things.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import redis
import structlog

from service.clock import iso
from service.live import packets
from service.live.presence import Holding, Reply, flush

if TYPE_CHECKING:
    from service.live.connection import Connection
    from service.live.gateway import Gateway

SLICE = 250
RETRY_SECONDS = 0.25

log = structlog.get_logger(__name__)


class Audience:
    """The members of one stream that this worker holds, and what they are told."""

    def __init__(self, stream: int, gateway: Gateway) -> None:
        self.stream = stream
        self.gateway = gateway
        self.holding = Holding(stream)
        self.connections: set[Connection] = set()
        self._waiting: list[tuple[Connection, str]] = []
        self._reply: Reply | None = None
        self._unreachable = False
        self._changed = False
        self._flushing: asyncio.Task[None] | None = None
        self._retry_at = self._renew_at = 0.0
        self._push_at = gateway.now() + self._jittered()
        self.renewed_at = gateway.now()  # by a flush that was begun then, and answered

    def enter(self, connection: Connection) -> None:
        """`connection` has joined."""
        self.connections.add(connection)
        self.holding.join(connection.member, connection.attribution)
        self.holding.connect()
        self._changed = True

    def exit(self, connection: Connection) -> None:
        """`connection` is no longer here; its member counts until `leave`."""
        self.connections.discard(connection)
        self.holding.disconnect()
        self._changed = True

    def leave(self, connection: Connection) -> None:
        """The member of `connection` is let go."""
        self.holding.leave(connection.member)
        self._changed = True

    def answer_after_flush(self, connection: Connection, ack: str) -> None:
        """Acknowledge a join when it is counted."""
        self._waiting.append((connection, ack))
        self._changed = True

    def tick(self, now: float) -> None:
        """Flush and push when it is time."""
        renew = now >= self._renew_at
        if self._flushing is None and (self._changed or renew) and now >= self._retry_at:
            if renew:
                self._renew_at = now + self.gateway.config.renew_seconds
            self._flushing = self.gateway.loop.create_task(self._flush(renew))
        if now >= self._push_at:
            self._push_at = now + self._jittered()
            self.push()

    @property
    def members(self) -> int:
        """How many distinct members are held, those within grace too."""
        return len(self.holding)

    @property
    def reachable(self) -> bool:
        """Whether Valkey answered the last flush."""
        return not self._unreachable

    @property
    def over(self) -> bool:
        """Whether nobody is here and Valkey knows it."""
        return self._flushing is None and not self._waiting and not self.connections and self.holding.empty

    async def finish(self) -> None:
        """Bring Valkey up to date and end the lease; whatever fails, the lease ends by itself."""
        if self._flushing is not None:
            await self._flushing
        await self._flush(renew=True)

    async def _flush(self, renew: bool) -> None:
        waiting, self._waiting = self._waiting, []
        self._changed = False
        begun = self.gateway.now()
        try:
            reply = await flush(self.gateway.script, self.holding, timing=self.gateway.timing, renew=renew)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            waiting, self._waiting = waiting + self._waiting, []
        else:
            self._succeeded(reply, begun)
        finally:
            self._flushing = None
        self._answer(waiting)

    def _failed(self, error: Exception) -> None:
        self.gateway.meter.flush_failed()
        self._changed = True
        self._retry_at = self.gateway.now() + RETRY_SECONDS
        if not self._unreachable:
            self._unreachable = True
            log.warning("count unavailable", stream=self.stream, error=type(error).__name__)

    def _succeeded(self, reply: Reply | None, begun: float) -> None:
        self.gateway.meter.flushed(self.gateway.now() - begun)
        self.renewed_at = begun
        self._reply = reply or self._reply
        if self._unreachable:
            self._unreachable = False
            self._push_at = 0.0  # the count follows
            log.warning("count is back", stream=self.stream)

    def _answer(self, waiting: list[tuple[Connection, str]]) -> None:
        """Acknowledge joins: nearly all of them with the same few ids, hence the same frames."""
        answer = packets.to_json({"ok": True, **self._figures(known=not self._unreachable)})
        frames: dict[str, bytes] = {}
        for connection, ack in waiting:
            if connection.is_in(self):
                frame = frames.get(ack)
                if frame is None:
                    frame = frames[ack] = packets.ack_frame(ack, answer)
                connection.write(frame)

    def _figures(self, *, known: bool = True) -> dict[str, object]:
        reply = self._reply
        if reply is None or not known:
            return {"stream": self.stream, "count": None, "basis": "degraded", "as_of": None}
        basis = "degraded" if self._unreachable else reply.basis
        return {"stream": self.stream, "count": reply.online, "basis": basis, "as_of": iso(reply.as_of)}

    def push(self) -> None:
        """Tell everybody here the count: the last known one, which says of when it is and how good."""
        if self.connections:
            frame = packets.event_frame("count", self._figures())
            self._push_slice(list(self.connections), frame, 0)

    def _push_slice(self, connections: list[Connection], frame: bytes, start: int) -> None:
        for connection in connections[start : start + SLICE]:
            if connection.is_in(self):
                connection.write(frame)
        if start + SLICE < len(connections):
            self.gateway.loop.call_soon(self._push_slice, connections, frame, start + SLICE)

    def _jittered(self) -> float:
        return self.gateway.config.count_seconds * random.uniform(0.9, 1.1)
