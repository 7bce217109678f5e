"""Everybody who is in the stream checks in at once over his socket, each acknowledged after its commit.

Ours: one gateway with as many workers as the connections need. The peer: as many processes of Express, pg and
socket.io, one INSERT each. The same phones, the same PostgreSQL, one after the other; connecting is not timed.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

from bench.attendees import MEMBERS, Attendees, gathered
from bench.figures import Figure, Goal, against, alone
from bench.phones import Errand, Outcome
from bench.servers import Running, Server, check_in_node, install_peers, our_gateway, peer_versions, start
from service.checkin.attendance import roster

FULL_SIZE = MEMBERS
EACH = 16_000  # connections of a process, on either side
POOL = 90  # connections to PostgreSQL that the peer's processes share

Said = Callable[[str], None]


def hold(members: int, say: Said) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    install_peers()
    processes = -(-members // EACH)
    with gathered(members) as everybody:
        roster.freeze(everybody.activity, datetime.now(UTC))
        everybody.analyse()
        ours, mine = measured(everybody, [our_gateway(processes)], processes, say)
        everybody.forget()
        theirs, yours = measured(everybody, [node(processes)] * processes, processes, say)
    goal = Goal("≤ 30 s", ours_at_most=30.0)
    rows = [
        alone("socket_checkins_150k", ours=ours, unit="s", goal=goal, digits=1),
        against(
            "socket_checkins_per_second",
            ours=members / ours,
            unit="check-ins a second",
            peer="Express + pg + socket.io",
            peer_value=members / theirs,
        ),
    ]
    note = f"""\
Check-ins over sockets: {members:,} members connected to {processes} processes of a server, as many processes of phones;
from the first question to the last acknowledgement, which either server gives after the commit. All on this machine."""
    return rows, [note, "", mine, yours, f"- {', '.join(peer_versions())}"]


def node(processes: int) -> Server:
    """The peer, with its share of connections to PostgreSQL."""
    one = check_in_node()
    return Server(one.name, one.command, 0, {"POOL": str(POOL // processes)})


def measured(everybody: Attendees, servers: Sequence[Server], processes: int, say: Said) -> tuple[float, str]:
    """Seconds for everybody, and what it cost."""
    stage = everybody.stage
    stage.clear()
    with ExitStack() as stack:
        running = [stack.enter_context(start(server, stage)) for server in servers]
        phones = [stack.enter_context(yard(one)) for one in errands(everybody, running, processes)]
        for one in phones:
            hears(one, "inside")
        before = [sum(one.cpu() for one in running), *stage.stored_cpu()]
        for one in phones:
            tell(one, "go")
        outcomes = [Outcome(**json.loads(hears(one))) for one in phones]
        after = [sum(one.cpu() for one in running), *stage.stored_cpu()]
    seconds = max(one.ended for one in outcomes) - min(one.began for one in outcomes)
    line = (
        f"- {servers[0].name}: {told(outcomes, seconds, [new - old for old, new in zip(before, after, strict=True)])}"
    )
    say(line)
    if everybody.written() != everybody.members or any(one.refused for one in outcomes):
        raise RuntimeError(f"{everybody.written()} written; refused: {[one.refused for one in outcomes]}")
    return seconds, line


def told(outcomes: Sequence[Outcome], seconds: float, used: Sequence[float]) -> str:
    """A run in a line."""
    members = sum(one.written for one in outcomes)
    waits = sorted(wait for one in outcomes for wait in one.latencies)
    costs = zip(("server", "Valkey", "PostgreSQL", "phones"), (*used, sum(one.cpu for one in outcomes)), strict=True)
    shares = ", ".join(f"{name} {1e6 * cpu / members:,.0f}" for name, cpu in costs)
    median, late = (1000 * waits[int(share * len(waits))] for share in (0.5, 0.99))
    return (
        f"{members:,} acknowledged in {seconds:.1f} s, {members / seconds:,.0f} a second; each waited {median:,.0f} ms"
        f" (median) or {late:,.0f} ms (p99); CPU µs each: {shares}"
    )


def errands(everybody: Attendees, running: Sequence[Running], processes: int) -> Iterator[Errand]:
    """Everybody's share of the phones, spread over the servers."""
    share = -(-everybody.members // processes)
    for index in range(processes):
        first = 1 + index * share
        url = running[index % len(running)].url
        yield Errand(url, everybody.activity, first, min(share, everybody.members - first + 1), index)


@contextmanager
def yard(errand: Errand) -> Iterator["subprocess.Popen[str]"]:
    """A process of phones; ended whatever happens."""
    command = [sys.executable, "-m", "bench.phones"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            tell(process, json.dumps(asdict(errand)))
            yield process
        finally:
            process.kill()


def tell(process: "subprocess.Popen[str]", line: str) -> None:
    """Say a line to a process of phones."""
    if process.stdin:
        process.stdin.write(line + "\n")
        process.stdin.flush()


def hears(process: "subprocess.Popen[str]", expected: str = "") -> str:
    """The next line of a process of phones; RuntimeError if it ended, or said something else than `expected`."""
    line = process.stdout.readline() if process.stdout else ""
    if not line or (expected and line != expected + "\n"):
        raise RuntimeError(f"the phones said {line!r}")
    return line
