"""One message to everybody: the CPU that it costs per recipient, our pushed count against socket.io's own broadcast.

The members count what reaches them, so that both sides are divided by what really arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from bench.figures import Figure, Goal, against
from bench.servers import Running, Server, install_peers, ours, socketio_node, start
from bench.stage import Stage
from bench.storm import WARM_UP, storm, warm_up
from service.live.rehearsal import Progress

ROUNDS = 3
EVERY_SECONDS = 1
SETTLE_SECONDS = 2.0
WINDOW_SECONDS = 5.0
NOTE = f"""\
Fan-out: {ROUNDS} interleaved rounds, medians; the same message about every {EVERY_SECONDS} s to 8,000 members in one
room for {WINDOW_SECONDS:g} s; all CPU of the server in that time ÷ messages that arrived, so that pings, leases and
the rest of an idle server are in it on either side."""


@dataclass(frozen=True)
class Round:
    """What a server and the members used while messages arrived."""

    arrived: int
    server_cpu: float
    generator_cpu: float

    @property
    def microseconds(self) -> float:
        return 1e6 * self.server_cpu / self.arrived


class Meter:
    """Reads the meters at the begin and at the end of a window at rest."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._inside_at = 0.0
        self._begin: tuple[float, ...] | None = None
        self._end: tuple[float, ...] | None = None

    def __call__(self, progress: Progress) -> None:
        """Read when the time has come, once each."""
        if progress.phase == "arriving":
            self._inside_at = progress.seconds
        elif self._begin is None and progress.seconds - self._inside_at >= SETTLE_SECONDS:
            self._begin = self._read(progress)
        elif self._begin and not self._end and progress.seconds - self._begin[0] >= WINDOW_SECONDS:
            self._end = self._read(progress)

    def round(self) -> Round:
        """The differences."""
        if self._begin is None or self._end is None:
            raise RuntimeError("the members have left before the window was over")
        _, arrived, server, generator = (after - before for after, before in zip(self._end, self._begin, strict=True))
        return Round(round(arrived), server, generator)

    def _read(self, progress: Progress) -> tuple[float, ...]:
        tally = progress.tally
        return progress.seconds, tally.counts_heard, self._running.cpu(), tally.cpu_seconds


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    install_peers()
    rounds: dict[str, list[Round]] = {}
    for number in range(ROUNDS):
        for server in speaking():
            one = _round(server, stage)
            rounds.setdefault(server.name, []).append(one)
            say(f"fan-out {number + 1}: {server.name}: {_describe(one)}")
    notes = [f"- {name}: " + "; ".join(map(_describe, own)) + "." for name, own in rounds.items()]
    return [_figure(rounds)], [NOTE, "", *notes]


def speaking() -> tuple[Server, Server]:
    """Both servers, told to send a message to everybody again and again."""
    every = str(EVERY_SECONDS)
    gateway, node = ours(), socketio_node()
    return (
        replace(gateway, environment=gateway.environment | {"COUNT_SECONDS": every, "COUNT_MAX_SECONDS": every}),
        replace(node, environment=node.environment | {"BROADCAST_SECONDS": every}),
    )


def _round(server: Server, stage: Stage) -> Round:
    stage.clear()
    with start(server, stage) as running:
        warm_up(running, stage)
        meter = Meter(running)
        rest = (SETTLE_SECONDS + WINDOW_SECONDS + 2.0) / 2  # members rest twice
        storm(running, stage, members=server.connections, first=1 + WARM_UP, rest=rest, report=meter)
        return meter.round()


def _figure(rounds: dict[str, list[Round]]) -> Figure:
    (_, own), (peer, theirs) = rounds.items()
    return against(
        "fanout_cpu",
        ours=median(one.microseconds for one in own),
        unit="µs a recipient",
        peer=peer,
        peer_value=median(one.microseconds for one in theirs),
        goal=Goal("≤ 1/2", at_most=0.5),
    )


def _describe(one: Round) -> str:
    return (
        f"{one.microseconds:.1f} µs each ({one.arrived:,} arrived; CPU seconds: server {one.server_cpu:.2f},"
        f" members {one.generator_cpu:.2f})"
    )
