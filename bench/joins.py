"""Joins per CPU-second and memory a connection: our gateway, socket.io on Node, Flask-SocketIO.

Like for like: one worker process each, the same client, tokens with the same signature, every join acknowledged
after its count is in Valkey. Interleaved rounds, a fresh server for each, medians over the rounds.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median

from bench.figures import Figure, Goal, against
from bench.servers import Running, Server, flask_socketio, install_peers, ours, peer_versions, socketio_node, start
from bench.stage import Stage
from bench.storm import WARM_UP, WINDOW, storm, warm_up
from service.live.rehearsal import Progress, Result

ROUNDS = 3
REST_SECONDS = 2.0
SETTLE_SECONDS = 1.0  # what is written after the acknowledgement, such as stays, belongs to the joins
NOTE = f"""\
Joins: {ROUNDS} interleaved rounds, medians; one worker process each, started anew for each round and warmed up with
{WARM_UP} members; {WINDOW} joins under way at a time; server, Valkey, PostgreSQL and the members on the same machine.
A join counts once it is acknowledged, which every server does after its count is in Valkey. CPU is user + system time
of all processes of the server until {SETTLE_SECONDS:g} s after the last join, so that what is written after the
acknowledgement is in it; Valkey's and PostgreSQL's are stated apart. Memory is the difference of USS before the joins
and {2 * REST_SECONDS:g} s after them, ÷ connections. Our gateway also keeps a count for every ancestor and writes
stays to PostgreSQL; the peers keep one count and one sub-count."""


@dataclass
class Round:
    """What one server and its client used while everybody joined and then while they rested."""

    connections: int
    server_cpu: float
    generator_cpu: float
    valkey_cpu: float
    postgres_cpu: float
    memory: float

    @property
    def joins_per_cpu_second(self) -> float:
        return self.connections / self.server_cpu

    @property
    def memory_per_connection(self) -> float:
        return self.memory / self.connections


class Meter:
    """Reads the meters when the members' process says that they are all inside, and again at rest."""

    def __init__(self, running: Running, stage: Stage) -> None:
        self.running, self.stage = running, stage
        self.memory_before = running.memory()
        self.before = self._read()
        self.joined: tuple[float, ...] = ()
        self.generator = [0.0, 0.0]
        self.memory_at_rest = 0
        self.inside_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take the reading that belongs to the phase, once."""
        if not progress.tally.settled:
            self.generator[0] = progress.tally.cpu_seconds
        elif progress.phase == "plateau" and not self.joined and progress.seconds - self.inside_at >= SETTLE_SECONDS:
            self.joined = self._read()
            self.generator[1] = progress.tally.cpu_seconds
        elif progress.phase in ("arriving", "inside"):
            self.inside_at = progress.seconds
        elif progress.phase == "held" and not self.memory_at_rest:
            self.memory_at_rest = self.running.memory()

    def round(self, result: Result) -> Round:
        """The differences, once the members have left."""
        server, valkey, postgres = (after - before for after, before in zip(self.joined, self.before, strict=True))
        memory = self.memory_at_rest - self.memory_before
        generator = self.generator[1] - self.generator[0]
        return Round(result.joined, server, generator, valkey, postgres, memory)

    def _read(self) -> tuple[float, ...]:
        return (self.running.cpu(), *self.stage.stored_cpu())


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The rows of the table and the notes below it."""
    install_peers()
    servers = (ours(), socketio_node(), flask_socketio())
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    for number in range(ROUNDS):
        for server in servers:
            one = _round(server, stage)
            rounds[server.name].append(one)
            say(f"round {number + 1}: {server.name}: {_describe(one)}")
    return _figures(servers, rounds), _notes(servers, rounds)


def _round(server: Server, stage: Stage) -> Round:
    stage.clear()
    with start(server, stage) as running:
        warm_up(running, stage)
        meter = Meter(running, stage)
        members, first = server.connections, 1 + WARM_UP
        result = storm(running, stage, members=members, first=first, rest=REST_SECONDS, report=meter)
        return meter.round(result)


def _figures(servers: Sequence[Server], rounds: dict[str, list[Round]]) -> list[Figure]:
    def joins(server: Server) -> float:
        return median(one.joins_per_cpu_second for one in rounds[server.name])

    def memory(server: Server) -> float:
        return median(one.memory_per_connection for one in rounds[server.name])

    gateway, node, flask = servers
    speed, size = (joins(gateway), "joins per CPU-second"), (memory(gateway), "bytes a connection")
    small = Goal("≤ 1/5, and ≤ 3 KB", at_most=0.2, ours_at_most=3072)
    rows = [
        ("joins_per_cpu_second", speed, node, joins, Goal("≥ 5×", at_least=5)),
        ("joins_per_cpu_second_vs_flask_socketio", speed, flask, joins, Goal("≥ 20×", at_least=20)),
        ("connection_memory", size, node, memory, small),
        ("connection_memory_vs_flask_socketio", size, flask, memory, None),
    ]
    return [
        against(key, ours=value, unit=unit, peer=peer.name, peer_value=of(peer), goal=goal)
        for key, (value, unit), peer, of, goal in rows
    ]


def _notes(servers: Sequence[Server], rounds: dict[str, list[Round]]) -> list[str]:
    notes = [NOTE, ""]
    for server in servers:
        own = rounds[server.name]
        notes.append(f"- {server.name}, {server.connections:,} connections: " + "; ".join(map(_describe, own)) + ".")
        if median(one.generator_cpu / one.server_cpu for one in own) > 1.25:
            notes.append("  Here the members' process was the limit: it used more than 1.25 × the server's CPU.")
    return [*notes, "", f"Versions: {_versions()}."]


def _describe(one: Round) -> str:
    stores = f"Valkey {one.valkey_cpu:.2f}, PostgreSQL {one.postgres_cpu:.2f}"
    seconds = f"CPU seconds: server {one.server_cpu:.2f}, members {one.generator_cpu:.2f}, {stores}"
    return (
        f"{one.joins_per_cpu_second:,.0f} joins per CPU-second, {one.memory_per_connection:,.0f} bytes each ({seconds})"
    )


def _versions() -> str:
    """What was compared."""
    names = ("flask-socketio", "gevent", "gunicorn", "uvloop")
    packages = [f"{name} {version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *packages, *peer_versions()])
