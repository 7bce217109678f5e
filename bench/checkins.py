"""Check-ins: the roster frozen, batches written, who is missing, and single ones over REST."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from statistics import median

import uvloop

from bench import tree
from bench.attendees import BRANCHES, Attendees, gathered
from bench.figures import Figure, Goal, against, alone
from bench.servers import Server, bare_flask, check_in_node, install_peers, our_web, peer_versions, start
from bench.stage import Stage, candidates
from service.checkin.attendance import figures, roster
from service.checkin.records import Attempt
from service.checkin.rules import check_in
from service.live.rehearsal.api import Lane
from service.live.rehearsal.api import check_in as post

ROUNDS = 3
BATCH, BATCHES = 500, 20
POSTS, WARM_UP, LANES = 3_000, 300, 64
MISSING_REPEATS = 5

NOTE = f"""\
Check-ins: {{members:,}} members in {BRANCHES:,} branches of a province, all expected at one activity.
Batches: {ROUNDS} × {BATCHES} of {BATCH} members by the rule itself, one worker, median; PostgreSQL's time is in it.
Missing: the first page at a node, at the level that takes longest. REST: {ROUNDS} interleaved rounds of {POSTS:,}
by {LANES} kept-alive connections, medians; one process each. Ours and Express answer after the commit, bare Flask
remembers nothing."""

Said = Callable[[str], None]
Measured = tuple[list[Figure], list[str]]


def measure(_: Stage, say: Said) -> Measured:
    """The rows of `make bench`, on a stage of their own."""
    install_peers()
    with gathered() as everybody:
        rows = [freeze(everybody, say), *in_batches(everybody, say), missing(everybody, say)]
        everybody.forget()
        single, lines = over_rest(everybody, say)
    note = NOTE.format(members=everybody.members)
    return [*rows, *single], [note, "", *lines]


def freeze(everybody: Attendees, say: Said) -> Figure:
    """The roster of all."""
    begin = time.perf_counter()
    roster.freeze(everybody.activity, datetime.now(UTC))
    seconds = time.perf_counter() - begin
    say(f"roster of {everybody.members:,} frozen in {seconds:.2f} s")
    everybody.analyse()
    return alone("roster_freeze_150k", ours=seconds, unit="s", goal=Goal("≤ 5 s", ours_at_most=5.0))


def in_batches(everybody: Attendees, say: Said) -> Iterator[Figure]:
    """Rows a second of one worker, by the rule."""
    members = list(range(1, 1 + ROUNDS * BATCHES * BATCH))
    random.Random(1).shuffle(members)
    rates = []
    for number in range(ROUNDS):
        mine = members[number::ROUNDS]
        batches = [attempts(mine[at : at + BATCH]) for at in range(0, len(mine), BATCH)]
        begin = time.perf_counter()
        for batch in batches:
            check_in(everybody.activity, batch, datetime.now(UTC))
        rates.append(len(mine) / (time.perf_counter() - begin))
    if everybody.written() != len(members):
        raise RuntimeError("check-ins are missing")
    say(f"in batches: {', '.join(f'{rate:,.0f}' for rate in rates)} rows a second")
    goal = Goal("≥ 20,000", ours_at_least=20_000)
    yield alone("batch_checkin_rows", ours=median(rates), unit="rows a second", goal=goal, digits=0)


def attempts(members: list[int]) -> list[Attempt]:
    """What phones send."""
    return [
        Attempt(member=one, organisation=f"1.{one % 21}.{one % 183}", place="54.5401", reference=f"batch-{one:012d}")
        for one in members
    ]


def missing(everybody: Attendees, say: Said) -> Figure:
    """Who is missing now, at a node of each level."""
    everybody.analyse()
    slowest = 0.0
    for level, _ in tree.LEVELS:
        path = tree.paths(level)[0]
        times = [tree.timed(partial(figures.missing, everybody.activity, path)) for _ in range(MISSING_REPEATS)]
        say(f"missing at a {level}: {median(times):.1f} ms")
        slowest = max(slowest, median(times) / 1000)
    return alone("missing_now", ours=slowest, unit="s", goal=Goal("≤ 0.2 s at any node", ours_at_most=0.2), digits=3)


def over_rest(everybody: Attendees, say: Said) -> Measured:
    """Requests a second of one process."""
    servers = (our_web(), bare_flask(), check_in_node())
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    lines, first = [], 1
    for number in range(ROUNDS):
        for server in servers:
            everybody.stage.clear()
            rate, cost = posted(everybody, server, first)
            first += POSTS + WARM_UP
            rates[server.name].append(rate)
            lines.append(f"- round {number + 1}: {server.name} {rate:,.0f} a second; {cost}")
            say(lines[-1])
    web, flask, node = (median(rates[server.name]) for server in servers)
    half = Goal("≥ 1/2", at_least=0.5)
    unit = "requests a second"
    return [
        against("rest_checkin", ours=web, unit=unit, peer=servers[1].name, peer_value=flask, goal=half),
        against("rest_checkin_vs_express", ours=web, unit=unit, peer=servers[2].name, peer_value=node),
    ], [*lines, f"- {', '.join(peer_versions())}"]


def posted(everybody: Attendees, server: Server, first: int) -> tuple[float, str]:
    """Requests a second that a server answers well, and what each cost."""
    told = everybody.stage
    with start(server, told) as running:
        uvloop.run(posts(running.url, everybody.activity, first=first, members=WARM_UP))
        before, stored = running.cpu(), told.stored_cpu()
        begin, own = time.perf_counter(), time.process_time()
        uvloop.run(posts(running.url, everybody.activity, first=first + WARM_UP, members=POSTS))
        seconds = time.perf_counter() - begin
        used = [running.cpu() - before, *(after - then for after, then in zip(told.stored_cpu(), stored, strict=True))]
        used.append(time.process_time() - own)
    costs = zip(("server", "Valkey", "PostgreSQL", "requests"), used, strict=True)
    return POSTS / seconds, "CPU µs each: " + ", ".join(f"{name} {1e6 * one / POSTS:,.0f}" for name, one in costs)


async def posts(url: str, activity: int, *, first: int, members: int) -> None:
    """Everybody's check-in, over a few connections; RuntimeError if one is not accepted."""
    waiting = iter(enumerate(candidates(members, first=first), first))

    async def one_after_another() -> None:
        lane = Lane(url)
        for member, one in waiting:
            answer = await post(lane, activity, reference=f"phone-{member:012d}", token=one.token or "")
            if answer.status != 201:
                raise RuntimeError(f"{answer.status} {answer.code}")
        lane.close()

    await asyncio.gather(*(one_after_another() for _ in range(LANES)))
