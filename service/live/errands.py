"""What members ask of other rooms over their sockets: queued in the loop, done in a thread, many at a time.

Promises: joins, pings and counts never wait for it. An answer goes out only after its room has done, and committed,
what was asked. The queue is bounded and so is the wait: who is told `busy` was not heard; who is told
`database_unavailable` may have been, and asks again under the same reference to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from service.errors import ServiceError, problem
from service.frequency import Frequency
from service.live import packets
from service.live.protocol import CONNECTED
from service.live.turns import Turns

if TYPE_CHECKING:
    from service.live.connection import Connection
    from service.live.gateway import Gateway

BATCH: Final = 500
WAITING_LIMIT: Final = 10_000
PATIENCE_SECONDS: Final = 5.0  # of a request before its batch begins, and of a batch
RETRY_SECONDS: Final = 2

log = structlog.get_logger(__name__)


class Asked(NamedTuple):
    """One member's request, as a room is handed it."""

    member: int
    organisation: str
    place: str
    arguments: Sequence[object]


Reply = dict[str, object] | ServiceError
# Answers requests in their order, in a thread and after its commit.
Handler = Callable[[Sequence[Asked], datetime], Sequence[Reply]]
# A frame for the client, and the code if it is a refusal.
Told = tuple[bytes, str | None]


class Errand(NamedTuple):
    """A request and who waits for its answer."""

    connection: Connection
    ack: str
    asked: Asked
    until: float

    def told(self, reply: Reply) -> Told:
        """The answer as it goes out."""
        if isinstance(reply, ServiceError):
            error = problem(reply, self.connection.language)
            return packets.ack_frame(self.ack, packets.to_json({"ok": False, "error": error})), reply.code
        return packets.ack_frame(self.ack, packets.to_json({"ok": True, **reply})), None


class Errands:
    """The requests of one event on one worker."""

    def __init__(self, gateway: Gateway, name: str, handler: Handler) -> None:
        self.done = 0
        self._gateway = gateway
        self._handler = handler
        self._turns = Turns(name, gateway.loop)
        self._waiting: deque[Errand] = deque()
        self._under_way: list[Errand] = []
        self._busy = False
        self._give_up_at = 0.0
        self._frequency = Frequency()

    @property
    def waiting(self) -> int:
        """How many have no answer yet."""
        return len(self._waiting) + len(self._under_way)

    def ask(self, connection: Connection, arguments: list[object], ack: str) -> None:
        """Queue a request, or refuse it at once."""
        now, where = self._gateway.now(), connection.attribution
        asked = Asked(connection.member, where.organisation, where.place, arguments)
        errand = Errand(connection, ack, asked, now + PATIENCE_SECONDS)
        if wait := self._frequency.wait(connection.member, self._gateway.config.account_requests_per_minute, now):
            self._tell(errand, errand.told(ServiceError("too_many_requests", retry_after=wait)))
        elif self.waiting >= WAITING_LIMIT:
            self._tell(errand, errand.told(ServiceError("busy", retry_after=RETRY_SECONDS)))
        else:
            self._waiting.append(errand)
            if len(self._waiting) >= BATCH:
                self._hand_on()

    def tick(self, now: float) -> None:
        """Hand on what has come since the last tick, and leave nobody without an answer for too long."""
        while self._waiting and self._waiting[0].until <= now:
            self._give_up(self._waiting.popleft())
        if self._under_way and self._give_up_at <= now:
            under_way, self._under_way = self._under_way, []
            for errand in under_way:
                self._give_up(errand)
        self._hand_on()

    def _hand_on(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        self._under_way = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._give_up_at = self._gateway.now() + PATIENCE_SECONDS
        job = partial(served, self._handler, tuple(self._under_way), self._gateway.books.clock())
        self._turns.submit(job, self._served)

    def _served(self, answers: Sequence[Told]) -> None:
        """A batch is over; of one that was given up nobody waits any more."""
        self._busy = False
        self.done += len(answers)
        under_way, self._under_way = self._under_way, []
        for errand, told in zip(under_way, answers, strict=False):
            self._tell(errand, told)
        if len(self._waiting) >= BATCH:
            self._hand_on()

    def _give_up(self, errand: Errand) -> None:
        self._tell(errand, errand.told(ServiceError("database_unavailable", retry_after=RETRY_SECONDS)))

    def _tell(self, errand: Errand, told: Told) -> None:
        frame, code = told
        if code is not None:
            self._gateway.counters.refused[code] += 1
        connection = errand.connection
        if errand.ack and connection.state == CONNECTED and connection.member == errand.asked.member:
            connection.write(frame)


def served(handler: Handler, errands: Sequence[Errand], now: datetime) -> list[Told]:
    """What everybody is told, ready to be written; in the thread, which has the time to make it."""
    asked = [errand.asked for errand in errands]
    try:
        replies = handler(asked, now)
    except Exception:
        # A defect costs this batch an answer, not the worker its thread.
        log.exception("a batch of requests failed")
        replies = [ServiceError("internal")] * len(asked)
    return [errand.told(reply) for errand, reply in zip(errands, replies, strict=True)]
