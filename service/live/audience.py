"""Everybody in one stream on one worker: the joins that wait for their flush, and the count that is pushed.

Promises: a join is acknowledged after the flush that carried it, or, without Valkey, with an unknown count; the count
is the sum of all slots, also of those where this worker holds nobody, and follows as soon as Valkey is back. A push is
encoded once and written in slices, between which the loop does other things.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from service.clock import iso
from service.live import packets
from service.live.scripts import slots_of
from service.live.tally import Tally

if TYPE_CHECKING:
    from service.live.admission import Policy
    from service.live.connection import Connection
    from service.live.gateway import Gateway

SLICE = 250


class Audience:
    """The members of one stream that this worker holds, and what they are told."""

    def __init__(self, stream: int, gateway: Gateway, policy: Policy) -> None:
        self.stream = stream
        self.gateway = gateway
        self.tallies = tuple(Tally(slot, self) for slot in slots_of(stream, policy.shards))
        self._call = policy.call
        self.connections: set[Connection] = set()
        self._answered: list[tuple[Connection, str]] = []
        self._push_at = gateway.now() + self._jittered()

    def enter(self, connection: Connection) -> None:
        """`connection` has joined."""
        self.connections.add(connection)
        self._tally(connection).enter(connection.member, connection.attribution)

    def exit(self, connection: Connection) -> None:
        """`connection` is no longer here; its member counts until `leave`."""
        self.connections.discard(connection)
        self._tally(connection).exit()

    def leave(self, connection: Connection) -> None:
        """The member of `connection` is let go."""
        self._tally(connection).leave(connection.member)

    def answer_after_flush(self, connection: Connection, ack: str) -> None:
        """Acknowledge a join when it is counted."""
        self._tally(connection).answer_after_flush(connection, ack)

    def tick(self, now: float) -> None:
        """Flush and push when it is time."""
        keep = self.members > 0
        for tally in self.tallies:
            tally.tick(now, keep=keep)
        if now >= self._push_at:
            self._push_at = now + self._jittered()
            self.push()

    @property
    def members(self) -> int:
        """How many distinct members are held, those within grace too."""
        return sum(len(tally.holding) for tally in self.tallies)

    @property
    def renewed_at(self) -> float:
        """When the flush was begun that renewed the oldest lease."""
        return min(tally.renewed_at for tally in self.tallies)

    @property
    def reachable(self) -> bool:
        """Whether Valkey answered the last flush to every slot."""
        return all(tally.reachable for tally in self.tallies)

    @property
    def over(self) -> bool:
        """Whether nobody is here and Valkey knows it."""
        return not self.connections and all(tally.over for tally in self.tallies)

    async def finish(self) -> None:
        """Bring Valkey up to date and end the leases."""
        await asyncio.gather(*(tally.finish() for tally in self.tallies))

    def flushed(self, waiting: list[tuple[Connection, str]]) -> None:
        """A slot's flush is over. Its joins are acknowledged when every slot said how many it counts, or failed."""
        self._answered += waiting
        if all(tally.tried for tally in self.tallies):
            ready, self._answered = self._answered, []
            self._answer(ready)

    def push_soon(self) -> None:
        """Tell the count at the next tick."""
        self._push_at = 0.0

    def _tally(self, connection: Connection) -> Tally:
        return self.tallies[connection.member % len(self.tallies)]

    def _answer(self, waiting: list[tuple[Connection, str]]) -> None:
        """Acknowledge joins: nearly all of them with the same few ids, hence the same frames."""
        answer = packets.to_json({"ok": True, **self._figures(known=self.reachable)})
        frames: dict[str, bytes] = {}
        for connection, ack in waiting:
            if connection.is_in(self):
                frame = frames.get(ack)
                if frame is None:
                    frame = frames[ack] = packets.ack_frame(ack, answer)
                connection.write(frame)

    def _figures(self, *, known: bool = True) -> dict[str, object]:
        replies = [tally.reply for tally in self.tallies if tally.reply is not None]
        if len(replies) < len(self.tallies) or not known:
            return {"stream": self.stream, "count": None, "basis": "degraded", "as_of": None}
        exact = self.reachable and all(reply.basis == "exact" for reply in replies)
        return {
            "stream": self.stream,
            "count": sum(reply.online for reply in replies),
            "basis": "exact" if exact else "degraded",
            "as_of": iso(min(reply.as_of for reply in replies)),
        }

    def follow(self, policy: Policy) -> None:
        """Tell everybody here that they are asked to check in, once for each time that they are."""
        call = policy.call
        if call is not None and call != self._call:
            self._call = call
            asked = {"stream": self.stream, **call._asdict(), "called_at": iso(call.called_at)}
            self._tell(packets.event_frame("check_in_now", asked))

    def push(self) -> None:
        """Tell everybody here the count: the last known one, which says of when it is and how good."""
        if self.connections:
            self._tell(packets.event_frame("count", self._figures()))

    def _tell(self, frame: bytes) -> None:
        self._push_slice(list(self.connections), frame, 0)

    def _push_slice(self, connections: list[Connection], frame: bytes, start: int) -> None:
        for connection in connections[start : start + SLICE]:
            if connection.is_in(self):
                connection.write(frame)
        if start + SLICE < len(connections):
            self.gateway.loop.call_soon(self._push_slice, connections, frame, start + SLICE)

    def _jittered(self) -> float:
        return self.gateway.gate.pace.count_seconds * random.uniform(0.9, 1.1)
