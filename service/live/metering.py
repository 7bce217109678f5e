"""What one gateway worker tells Prometheus, and whoever asks whether it lives and can work.

Promises: members never wait for it; plain numbers are read once a second from the tick. Whoever knows something new
gives it a public attribute and adds a line here and in docs/metrics.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from service import metrics, probes
from service.errors import ServiceError

if TYPE_CHECKING:
    from service.live.gateway import Gateway
    from service.live.upgrade import Request

READ_SECONDS = 1.0


class Numbers:
    """The metrics of a gateway worker."""

    def __init__(self, board: metrics.Board) -> None:
        self.vitals = board.vitals
        self.lag = metrics.loop_lag(board)
        self.connections = board.gauge("gateway_connections", "Open connections.")
        self.limit = board.gauge("gateway_connections_limit", "How many connections may be open.")
        self.members = board.gauge("gateway_members", "Members held, once per worker and stream.")
        self.accepted = metrics.Running(board.counter("gateway_accepted", "Connections accepted."))
        self.joins = metrics.Running(board.counter("gateway_joins", "Joins let in, one per stay."))
        self.leaves = metrics.Running(board.counter("gateway_leaves", "Stays ended, whatever the reason."))
        self._refused = board.counter("gateway_refused", "Requests, connections and events refused.", ["reason"])
        self._reasons: dict[str, metrics.Running] = {}
        self.slow = metrics.Running(board.counter("gateway_slow_readers", "Clients cut off that did not read."))
        self._cut = board.counter("gateway_cut", "Connections closed by us, other than slow readers.", ["reason"])
        self._cuts: dict[str, metrics.Running] = {}
        self.unfinished = board.gauge("gateway_handshakes", "Connections that have not said yet who they are.")
        self.stretch = board.gauge("gateway_stretch", "How many times slower pings and counts go out.", over="max")
        self.memory_limit = board.gauge("gateway_memory_limit_bytes", "Memory beyond which newcomers are refused.")
        self.buffered = board.gauge("gateway_send_buffer_bytes", "Bytes that wait for clients to read them.")
        self.behind = board.gauge("gateway_send_buffers_waiting", "Clients that have something left to read.")
        self.flushes = board.histogram("gateway_flush_seconds", "Time that changes took to Valkey and back.")
        self.failed = metrics.Running(board.counter("gateway_flush_failures", "Flushes given up, to be repeated."))
        self.lease_age = board.gauge("gateway_lease_age_seconds", "Since the oldest lease was renewed.", over="max")
        self.waiting = board.gauge("gateway_stays_waiting", "Stays not yet written to PostgreSQL.")
        self.written = metrics.Running(board.counter("gateway_stays_written", "Rows of stays written."))
        self.lost = metrics.Running(board.counter("gateway_stays_lost", "Stays that found no room or were refused."))
        self.rules_age = board.gauge("gateway_rules_age_seconds", "Since deny list and streams were read.", over="max")
        self.asked = board.gauge("gateway_requests_waiting", "Requests to other rooms without an answer yet.")
        self.served = metrics.Running(board.counter("gateway_requests_done", "Requests answered by other rooms."))
        self.undecided = board.gauge("gateway_joins_waiting", "Joins that wait for the rules of their stream.")

    def refused(self, totals: dict[str, int]) -> None:
        """How often each code was the answer so far."""
        _tell_each(self._refused, self._reasons, totals)

    def cut(self, totals: dict[str, int]) -> None:
        """How many were closed so far, by reason."""
        _tell_each(self._cut, self._cuts, totals)


def _tell_each(counter: Counter, known: dict[str, metrics.Running], totals: dict[str, int]) -> None:
    for reason, total in totals.items():
        running = known.get(reason)
        if running is None:
            running = known[reason] = metrics.Running(counter.labels(reason))
        running.tell(total)


class Meter:
    """Reads a gateway and answers /healthz, /readyz and /metrics."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.board = metrics.Board("gateway")
        self._numbers = Numbers(self.board)
        self._lags: list[float] = []
        self._flushes: list[float] = []
        self._failed = 0
        self._ticked_at = self._read_at = gateway.now()

    # What is told.

    def tick(self, now: float) -> None:
        """Call at every tick of the gateway."""
        self._lags.append(max(0.0, now - self._ticked_at - self._gateway.config.flush_seconds))
        self._ticked_at = now
        if now >= self._read_at + READ_SECONDS:
            self._read_at = now
            self.read(now)

    def flushed(self, seconds: float) -> None:
        """A flush was answered."""
        self._flushes.append(seconds)

    def flush_failed(self) -> None:
        """A flush was not answered, or not well."""
        self._failed += 1

    # What is read.

    def read(self, now: float) -> None:
        """Bring the metrics up to date."""
        self._read_connections()
        self._read_count(now)
        self._read_books(now)
        self._numbers.vitals.sample()
        for lag in self._lags:
            self._numbers.lag.observe(lag)
        self._lags.clear()

    def _read_connections(self) -> None:
        gateway, numbers = self._gateway, self._numbers
        counters = gateway.counters
        numbers.connections.set(len(gateway.connections))
        numbers.limit.set(gateway.capacity)
        numbers.accepted.tell(counters.accepted)
        numbers.slow.tell(counters.slow)
        numbers.refused(counters.refused)
        numbers.cut({"flood": counters.floods, "token_expired": counters.expired, "replaced": counters.replaced})
        numbers.unfinished.set(gateway.gate.unfinished)
        numbers.stretch.set(gateway.gate.pressure.stretch)
        if math.isfinite(gateway.gate.memory_limit):
            numbers.memory_limit.set(gateway.gate.memory_limit)
        numbers.joins.tell(counters.joined)
        # Every join begins a stay, so what is not here any more has ended.
        numbers.leaves.tell(counters.joined - sum(len(one.connections) for one in gateway.audiences.values()))
        numbers.undecided.set(gateway.undecided)
        numbers.asked.set(sum(one.waiting for one in gateway.errands.values()))
        numbers.served.tell(sum(one.done for one in gateway.errands.values()))
        if gateway.reception is not None:
            numbers.buffered.set(gateway.reception.buffered)
            numbers.behind.set(gateway.reception.behind)

    def _read_count(self, now: float) -> None:
        numbers, audiences = self._numbers, self._gateway.audiences.values()
        numbers.members.set(sum(one.members for one in audiences))
        numbers.lease_age.set(max((now - one.renewed_at for one in audiences), default=0.0))
        numbers.vitals.valkey.set(all(one.reachable for one in audiences))
        numbers.failed.tell(self._failed)
        for seconds in self._flushes:
            numbers.flushes.observe(seconds)
        self._flushes.clear()

    def _read_books(self, now: float) -> None:
        books, numbers = self._gateway.books, self._numbers
        numbers.waiting.set(len(books.stays))
        numbers.written.tell(books.stays.rows)
        numbers.lost.tell(books.stays.lost)
        numbers.rules_age.set(books.age(now))
        numbers.vitals.database.set(books.reachable)

    # What is asked.

    def page(self, request: Request) -> probes.Page | None:
        """The answer to a probe, None if it is none; ServiceError if it is to be refused."""
        authorization, token = request.headers.get("authorization", ""), self._gateway.config.metrics_token
        return probes.page(request.path, authorization, readiness=self.readiness, board=self.board, token=token)

    def readiness(self) -> dict[str, Any]:
        """That members can be let in; ServiceError with the reason if not.

        Without Valkey they can: a join stands, and is counted later. Without PostgreSQL too, once its rules are known.
        """
        gateway = self._gateway
        now = gateway.now()
        facts = {
            "connections": len(gateway.connections),
            "limit": gateway.capacity,
            "rules_age": round(gateway.books.age(now), 1) if gateway.books.loaded else None,
            "database": "reachable" if gateway.books.reachable else "away",
            "valkey": "reachable" if all(one.reachable for one in gateway.audiences.values()) else "away",
        }
        reasons = {
            "draining": gateway.closing,
            "rules": not gateway.books.loaded,
            "full": gateway.full(),
            "memory": gateway.gate.memory >= gateway.gate.memory_limit,
        }
        if reason := next((name for name, holds in reasons.items() if holds), None):
            raise ServiceError("not_ready", reason=reason, **facts)
        return {"status": "ready", **facts}
