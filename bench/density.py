"""One gateway worker filled to 18,000 connections: what they cost while nothing happens, and what their leaving costs.

The peer of a leave is our own join of the same run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.figures import Figure, Goal, against, alone
from bench.servers import Running, ours, start
from bench.stage import Stage
from bench.storm import WARM_UP, storm, warm_up
from service.live.rehearsal import Progress

ROUNDS = 3
CONNECTIONS = 18_000
SETTLE_SECONDS = 2.0  # stays are written after the acknowledgement
PING_SECONDS = 25.0  # the window of rest is one interval: exactly one ping and one pong for everybody
NOTE = f"""\
Density: {ROUNDS} rounds, medians; one gateway worker with {CONNECTIONS:,} connections. A join is everything from
the TCP connection on; a leave is what our own pages send, the event without an acknowledgement, the namespace's
disconnect and a close frame, up to the end of the connection; either with the stays that are written up to
{SETTLE_SECONDS:g} s later. At rest means one whole ping interval of {PING_SECONDS:g} s: one ping and one pong for
everybody, a lease renewal, a heartbeat and a turn of the wheel all the time, no message."""


@dataclass(frozen=True)
class Round:
    """CPU seconds of one worker: while everybody joins, at rest, while everybody leaves."""

    connections: int
    joins: float
    idle: float
    idle_seconds: float
    leaves: float

    @property
    def joins_per_cpu_second(self) -> float:
        return self.connections / self.joins

    @property
    def leaves_per_cpu_second(self) -> float:
        return self.connections / self.leaves

    @property
    def idle_percent(self) -> float:
        return 100 * self.idle / self.idle_seconds


class Meter:
    """Reads the worker's CPU before the joins, after them, over one interval at rest, and before the leaves."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.before = running.cpu()
        self.joined = self.rested = self.leaving = 0.0
        self._inside_at = 0.0
        self._rest: tuple[float, float] | None = None
        self.idle_seconds = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take the reading that belongs to the phase, once."""
        at = progress.seconds
        if progress.phase == "arriving":
            self._inside_at = at
        elif self._rest is None and at - self._inside_at >= SETTLE_SECONDS:
            self.joined = self._running.cpu()
            self._rest = (at, self.joined)
        elif self._rest and not self.idle_seconds and at - self._rest[0] >= PING_SECONDS:
            self.idle_seconds, self.rested = at - self._rest[0], self._running.cpu()
        if progress.phase == "held" and not self.leaving:
            self.leaving = self._running.cpu()

    def round(self, members: int) -> Round:
        """The differences, once everything is written."""
        time.sleep(SETTLE_SECONDS)
        leaves = self._running.cpu() - self.leaving
        return Round(members, self.joined - self.before, self.rested - self.joined, self.idle_seconds, leaves)


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The rows of the table and the notes below it."""
    rounds = []
    for number in range(ROUNDS):
        rounds.append(_round(stage, CONNECTIONS))
        say(f"density {number + 1}: {_describe(rounds[-1])}")
    return _figures(rounds), [NOTE, "", *(f"- {_describe(one)}" for one in rounds)]


def _round(stage: Stage, members: int) -> Round:
    stage.clear()
    server = ours()
    quiet = {"COUNT_SECONDS": "3600", "PING_INTERVAL_SECONDS": f"{PING_SECONDS:g}"}
    with start(replace(server, environment=server.environment | quiet), stage) as running:
        warm_up(running, stage)
        meter = Meter(running)
        rest = (PING_SECONDS + SETTLE_SECONDS + 1.0) / 2  # members rest twice
        storm(
            running,
            stage,
            members=members,
            first=1 + WARM_UP,
            rest=rest,
            report=meter,
            leave_acknowledged=False,
        )
        return meter.round(members)


def _figures(rounds: Sequence[Round]) -> list[Figure]:
    leaves = median(one.leaves_per_cpu_second for one in rounds)
    joins = median(one.joins_per_cpu_second for one in rounds)
    idle = median(one.idle_percent for one in rounds)
    quick = Goal("≥ 2.5×", at_least=2.5)
    unit = "leaves per CPU-second"
    return [
        against("leaves_per_cpu_second", ours=leaves, unit=unit, peer="our joins", peer_value=joins, goal=quick),
        alone("idle_cpu", ours=idle, unit="% of a core", goal=Goal("≤ 3 %", ours_at_most=3.0)),
    ]


def _describe(one: Round) -> str:
    return (
        f"{one.joins_per_cpu_second:,.0f} joins and {one.leaves_per_cpu_second:,.0f} leaves per CPU-second;"
        f" {one.idle_percent:.2f} % of a core over {one.idle_seconds:.1f} s at rest"
    )
