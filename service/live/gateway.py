"""One gateway worker: it accepts members, decides their joins from memory, and keeps everybody's time.

Promises: the loop never waits for PostgreSQL or Valkey; a join stands without either; one tick every `flush_seconds`
moves the wheel, the flushes, the pushes and the books. Everything here runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, cast

import structlog

from service import valkey
from service.config import Config
from service.errors import ServiceError, problem
from service.live import claims, packets, scripts, upgrade, websocket
from service.live.audience import Audience
from service.live.books import Books
from service.live.connection import Connection
from service.live.errands import Errands, Handler
from service.live.gate import Gate
from service.live.metering import Meter
from service.live.protocol import CONNECTED
from service.live.sockets import EPOLL, Door, Reception
from service.live.wheel import Wheel

LINGER_SECONDS = 2.0
RULES_SECONDS = 2.0  # how long a join waits for the rules of a stream that is not known
WAITING_LIMIT = 10_000
CLOSE_SLICE = 100
FINISH_SECONDS = 3.0  # for the last flush and the last stays
POLL_SECONDS = 0.02
CATCH_UP_TURNS = 16  # of the loop, in which a pong's whole time-out may pass when time is made up for
SPARE_DESCRIPTORS = 256  # for our own files, and for telling those who come too many

OK = b'{"ok":true}'

log = structlog.get_logger(__name__)


class Ticks(NamedTuple):
    """The settings' seconds in ticks of the wheel."""

    handshake: int
    pong: int
    linger: int

    @classmethod
    def of(cls, config: Config) -> Ticks:
        """Those that never change."""
        seconds = (config.handshake_seconds, config.ping_timeout_seconds, LINGER_SECONDS)
        return cls(*(max(round(value / config.flush_seconds), 1) for value in seconds))


@dataclass(slots=True)
class Counters:
    """What happened since the start; refusals by their code."""

    accepted: int = 0
    joined: int = 0
    slow: int = 0
    floods: int = 0
    expired: int = 0
    replaced: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Waiting(NamedTuple):
    """A join to a stream that the rules do not know yet."""

    connection: Connection
    stream: int
    ack: str
    until: float
    refreshes: int


class Gateway:
    """The state of one worker."""

    def __init__(
        self, config: Config, loop: asyncio.AbstractEventLoop, handlers: Mapping[str, Handler] | None = None
    ) -> None:
        self.config = config
        self.loop = loop
        self.now = time.monotonic  # exact and the same in every thread, unlike the loop's own
        self.id = str(uuid.uuid4())
        self.counters = Counters()
        self.connections: set[Connection] = set()
        self.audiences: dict[int, Audience] = {}
        self.wheel: Wheel[Connection] = Wheel()
        self.ticks = Ticks.of(config)
        self.timing = scripts.Timing.of(config)
        self._valkey = valkey.connect_async(config)
        self.script = self._valkey.register_script(scripts.source("flush"))
        self.muster_script = self._valkey.register_script(scripts.source("muster"))
        # Connection ids: a random prefix per worker and a number. 80 + 48 bits, marked as a version 8 UUID.
        digits = uuid.uuid4().hex
        self._prefix = f"{digits[:12]}8{digits[12:15]}8{digits[15:18]}"
        self._number = 0
        self.capacity = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS
        self.gate = Gate(self)
        self._waiting: list[Waiting] = []
        self.books = Books(config, loop, gateway=self.id, prefix=self._prefix, refreshed=self._on_rules)
        self.stays = self.books.stays
        self.reception = Reception(loop) if EPOLL else None
        self._events: dict[str, Callable[[Connection, list[object], str], None]] = {
            "join": self._join,
            "leave": self._leave,
        }
        # By event, what other rooms do for members; who does what is said where the process is put together.
        self.errands = {name: Errands(self, name, handler) for name, handler in (handlers or {}).items()}
        self._events |= {name: errands.ask for name, errands in self.errands.items()}
        self._started = self.now()
        self.wall = 0.0  # Unix seconds of the database's clock at the last tick
        self._denied: frozenset[int] = frozenset()
        self._tick_handle: asyncio.TimerHandle | None = None
        self.closing = False
        self.meter = Meter(self)

    # Life.

    async def open(self, patience: float = 5.0) -> None:
        """Read the rules and start to tick; without a database start all the same, after `patience`."""
        self._tick()
        if not await _until(lambda: self.books.loaded, patience):
            log.error("started without deny list and streams")

    async def listen(self, listener: socket.socket, backlog: int = 100) -> Door | asyncio.AbstractServer:
        """Accept members on `listener`."""
        # Accepted sockets inherit it: what a slow reader may pile up in the kernel is bounded too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.config.send_buffer_bytes)
        if self.reception is None:
            factory = cast(Callable[[], asyncio.Protocol], lambda: Connection(self))  # it need not be one by birth
            return await self.loop.create_server(factory, sock=listener, backlog=backlog)
        return self.reception.open(listener, backlog, lambda: Connection(self))

    def _tick(self) -> None:
        now = self.now()
        self._tick_handle = self.loop.call_later(self.config.flush_seconds, self._tick)
        self.wall = self.books.wall(now)
        self.gate.tick(now)
        self._turn_wheel(now)
        for audience in list(self.audiences.values()):
            audience.tick(now)
            if audience.over:
                del self.audiences[audience.stream]
        self._give_up_waiting(now)
        for errands in self.errands.values():
            errands.tick(now)
        self.books.tick(now)
        self.meter.tick(now)

    def _turn_wheel(self, now: float) -> None:
        """As many ticks as time has passed.

        After the process stood still they are made up for a few at a turn, and sockets are read between the turns:
        whoever answers is heard before the time-out that has passed meanwhile.
        """
        wheel = self.wheel
        passed = int((now - self._started) / self.config.flush_seconds) - wheel.now
        for _ in range(min(passed, max(self.ticks.pong // CATCH_UP_TURNS, 2))):
            for connection in wheel.advance():
                if connection.due == wheel.now:
                    connection.fall_due()

    async def close(self, seconds: float, *, hold: bool = False) -> None:
        """Send everybody away to reconnect elsewhere, take them out of the count, write their stays.

        With `hold` they are sent away a few at a time and stay in the count for their grace, as if they were lost:
        another worker takes them over, and no dip is seen.
        """
        self.closing = True
        deadline = self.now() + seconds
        await self._send_away(self.config.restart_spread_seconds if hold else 0.0, hold=hold)
        await _until(lambda: not self.connections, LINGER_SECONDS)
        if hold:
            await _until(self._empty, deadline - self.now() - FINISH_SECONDS)
        for connection in list(self.connections):
            connection.abort()
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        for connection in self.wheel:
            connection.leave()  # who is within grace; quiet for the others
        leaving = [audience.finish() for audience in self.audiences.values()]
        await asyncio.gather(*leaving, self.books.finish(deadline - self.now()), return_exceptions=True)
        self.meter.read(self.now())
        await self._valkey.aclose()
        if self.reception is not None:
            self.reception.close()

    def _empty(self) -> bool:
        return not any(audience.members for audience in self.audiences.values())

    async def _send_away(self, spread: float, *, hold: bool) -> None:
        connections = list(self.connections)
        slices = range(0, len(connections), CLOSE_SLICE)
        for start in slices:
            for connection in connections[start : start + CLOSE_SLICE]:
                if not hold:
                    connection.leave()
                connection.close(websocket.RESTARTING, "restarting")
            await asyncio.sleep(spread / len(slices))

    # Connections.

    def next_number(self) -> int:
        """A number for a new connection, never given twice."""
        self._number += 1
        return self._number

    def sid(self, number: int) -> str:
        """The session id of a connection: its UUID in hexadecimal."""
        return f"{self._prefix}{number:012x}"

    def arrived(self, connection: Connection, host: str) -> bool:
        """A transport is open; whether `host` may have one more."""
        self.connections.add(connection)
        self.counters.accepted += 1
        return self.gate.arrived(connection, host)

    def departed(self, connection: Connection) -> None:
        """A transport is closed."""
        self.connections.discard(connection)
        self.gate.departed(connection)

    def time_of(self, tick: int) -> float:
        """The monotonic time at `tick` of the wheel."""
        return self._started + tick * self.config.flush_seconds

    def grace_ticks(self, stream: int) -> int:
        """How long a lost member of `stream` stays in its count."""
        policy = self.books.rules.policies.get(stream)
        return round((policy.grace if policy else 0) / self.config.flush_seconds)

    # Requests.

    @property
    def undecided(self) -> int:
        """How many joins wait for the rules of their stream."""
        return len(self._waiting)

    def full(self) -> bool:
        """Whether the process is near its limit of descriptors."""
        return len(self.connections) >= self.capacity

    def language(self, request: upgrade.Request | None) -> str:
        """zh or en: the first one that the client asks for, else the setting."""
        wanted = request.headers.get("accept-language", "") if request is not None else ""
        return (_supported(wanted) if wanted else None) or self.config.default_language

    def answer(self, request: upgrade.Request | None, code: str) -> bytes:
        """The plain HTTP answer: a page of the meter's, or a problem document."""
        error = ServiceError(code)
        try:
            if request is not None and (page := self.meter.page(request)):
                return upgrade.response(200, page.body, kind=page.kind)
        except ServiceError as refusal:
            error = refusal
        self.counters.refused[error.code] += 1
        body = packets.to_json(problem(error, self.language(request)))
        extra = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"} if error.status == 426 else {}
        if error.status in (429, 503):
            extra["Retry-After"] = str(self.gate.pressure.retry_after())
        return upgrade.response(error.status, body, kind="application/problem+json; charset=utf-8", extra=extra)

    def connect(self, connection: Connection, auth: dict[str, object]) -> None:
        """Let in whoever brings a good token."""
        try:
            actor = claims.read_actor(auth, self.config.secrets, self.books.rules.denials, self.books.clock())
            attribution = claims.attribution(actor, auth)
        except ServiceError as error:
            self.counters.refused[error.code] += 1
            document = problem(error, connection.language)
            connection.refuse(document["title"], document)
        else:
            connection.admit(
                member=actor.member, session=actor.session, expires=actor.expires_at, attribution=attribution
            )

    # Events.

    def event(self, connection: Connection, name: str, arguments: list[object], ack: str) -> None:
        """Do what a connected client asks for."""
        handle = self._events.get(name)
        if handle is None:
            self.refuse(connection, ack, "event_unknown")
        else:
            handle(connection, arguments, ack)

    def refuse(self, connection: Connection, ack: str, code: str) -> None:
        """Answer an event with a problem, if an answer is wanted."""
        self.counters.refused[code] += 1
        if ack:
            document = problem(ServiceError(code), connection.language)
            connection.write(packets.ack_frame(ack, packets.to_json({"ok": False, "error": document})))

    def _join(self, connection: Connection, arguments: list[object], ack: str) -> None:
        stream = claims.stream_of(arguments)
        if stream is None:
            self.refuse(connection, ack, "validation")
        elif stream in self.books.rules.policies:
            self._decide(connection, stream, ack)
        elif len(self._waiting) >= WAITING_LIMIT:
            self.refuse(connection, ack, "too_many_requests")
        else:
            until = self.now() + RULES_SECONDS
            self._waiting.append(Waiting(connection, stream, ack, until, self.books.refreshes))
            self.books.refresh_soon(self.now(), stream)

    def _decide(self, connection: Connection, stream: int, ack: str) -> None:
        policy = self.books.rules.policies[stream]
        code = policy.refusal(connection.attribution.organisation, self.books.wall(self.now()))
        if code is not None:
            self.refuse(connection, ack, code)
            return
        audience = connection.audience
        if audience is None or audience.stream != stream:
            if audience is not None:
                connection.leave()
            audience = self.audiences.get(stream)
            if audience is None:
                audience = self.audiences[stream] = Audience(stream, self, policy)
            connection.join(audience)
            self.counters.joined += 1
        if ack:
            audience.answer_after_flush(connection, ack)

    def _leave(self, connection: Connection, arguments: list[object], ack: str) -> None:
        stream = claims.stream_of(arguments)
        if stream is None:
            self.refuse(connection, ack, "validation")
            return
        if connection.audience is not None and connection.audience.stream == stream:
            connection.leave()
        if ack:
            connection.write(packets.ack_frame(ack, OK))

    # Rules.

    def _on_rules(self, fresh: bool) -> None:
        """Cut whom the new deny list denies, and decide the joins that waited."""
        denied = self.books.rules.denials.sessions
        if denied - self._denied:
            for connection in [one for one in self.connections if one.session in denied]:
                connection.leave()
                connection.close(websocket.POLICY, "token_denied")
        self._denied = denied
        for stream, audience in self.audiences.items():
            if policy := self.books.rules.policies.get(stream):
                audience.follow(policy)
        begun = self.books.refreshes
        ready = [join for join in self._waiting if join.refreshes < begun]
        # A refresh that had begun before the question was asked may have missed what was asked for.
        self._waiting = [join for join in self._waiting if join.refreshes >= begun]
        for join in self._waiting:
            self.books.refresh_soon(self.now(), join.stream)
        for join in ready:
            self._decide_late(join, "stream_unknown" if fresh else "database_unavailable")

    def _decide_late(self, join: Waiting, otherwise: str) -> None:
        if join.connection.state == CONNECTED:
            if join.stream in self.books.rules.policies:
                self._decide(join.connection, join.stream, join.ack)
            else:
                self.refuse(join.connection, join.ack, otherwise)

    def _give_up_waiting(self, now: float) -> None:
        """The database is frozen: say so instead of waiting for it."""
        while self._waiting and self._waiting[0].until <= now:
            self._decide_late(self._waiting.pop(0), "database_unavailable")


@lru_cache(maxsize=256)
def _supported(wanted: str) -> str | None:
    offered = (part.strip()[:2].lower() for part in wanted.split(","))
    return next((name for name in offered if name in ("zh", "en")), None)


async def _until(holds: Callable[[], object], seconds: float) -> bool:
    """Whether a condition came true in time; asked for a few times only, at the start and at the end of a worker."""
    for _ in range(max(round(seconds / POLL_SECONDS), 1)):
        if holds():
            return True
        await asyncio.sleep(POLL_SECONDS)
    return bool(holds())
