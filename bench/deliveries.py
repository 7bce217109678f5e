"""Deliveries a second: one worker process, and Celery with httpx doing the same, against WeChat's stand-in.

Beside it a run in which everything goes wrong that may: two workers, answers that are errors, and one worker killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from statistics import median
from typing import Any

from sqlalchemy import Text, cast, func, literal, select, text, true

from bench.figures import Figure, Goal, against, alone
from bench.servers import ROOT, wait_until_it_accepts
from bench.stage import SECRET, Stage, free_port, open_stage, process_cpu
from service.app import create_core
from service.clock import now as read_clock
from service.config import Config
from service.extensions import db
from service.notify.notices.audience import Asked, Means
from service.notify.notices.models import Notice
from service.notify.notices.telling import tell
from service.sandbox.settings import settings

FULL_SIZE = 150_000
ROUNDS = 3
OURS, THEIRS = 20_000, 1_000
NOTICES = 3
LATENCY_SECONDS = 0.02
ERRORS = 0.01
GREENLETS = 50
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 1200.0
TEMPLATE = "t" * 43
MEANS = Means(channels=["wechat_subscribe"], template=TEMPLATE, fields={"thing1": "theme"})
NOTE = f"""\
Deliveries: {ROUNDS} interleaved rounds, medians; {OURS:,} deliveries by one `chunshui worker` with all its other tasks,
{THEIRS:,} by one Celery worker (gevent, {GREENLETS} greenlets, acknowledged late) that has a task for each
before the clock starts. Either reads the delivery from PostgreSQL, posts it to the stand-in, which waits for
{1000 * LATENCY_SECONDS:g} ms each time, and writes what came of it and the credit that it cost; from the first
delivery to the last. Our worker also keeps leases, credits that are not spent twice, one pace for all workers (lifted
here) and one message at a time for each person."""
CREDITS = text(
    """
    INSERT INTO wechat_credits (openid, template, member_id, balance, reference, changed_at)
    SELECT 'o' || number, :template, number, :balance, '', now() FROM generate_series(1, :members) AS number
    """
)
# What one person is sent is due one after the other, so that two of it would overlap if they could.
BESIDE = text("UPDATE notice_deliveries SET due_at = due_at - member_id * interval '1 millisecond'")
CLEAR = text("TRUNCATE notices, wechat_credits CASCADE")
STATES = text("SELECT state, count(*) FROM notice_deliveries WHERE lane <> 'inbox' GROUP BY state")
SPAN = text(
    "SELECT extract(epoch FROM max(delivered_at) - min(delivered_at)) FROM notice_deliveries WHERE lane <> 'inbox'"
)
REPEATS = text("SELECT sum(repeats) FROM notice_deliveries WHERE lane <> 'inbox'")
HELD = text("SELECT count(*) FROM notice_deliveries WHERE state = 'pending' AND lease_until IS NOT NULL")


@dataclass(frozen=True)
class Sandbox:
    """WeChat's stand-in, in a process of its own."""

    port: int
    process: "subprocess.Popen[bytes]"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of one of its own doors."""
        content = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/sandbox/{path}", content, 60) as answer:
            return dict(json.load(answer))

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead to it; nothing paces the channel."""
        templates = {"started": {"id": TEMPLATE, "fields": dict(MEANS.fields)}}
        paces = {"wechat_subscribe": {"per_second": 1_000_000, "per_day": 0}}
        whole = {"WECHAT_TEMPLATES": json.dumps(templates), "CHANNEL_PACES": json.dumps(paces)}
        return settings(port=self.port, apns_port=self.port) | whole


@dataclass(frozen=True)
class Carrier:
    """A way to deliver with one worker process; `prepare` is run before the clock starts."""

    name: str
    deliveries: int
    command: tuple[str, ...]
    prepare: tuple[str, ...] = ()


def ours() -> Carrier:
    """Our worker, as it is deployed."""
    return Carrier("chunshui worker", OURS, (sys.executable, "-m", "service.cli", "worker"))


def celery() -> Carrier:
    """Celery on gevent, which its pages recommend for tasks that wait for the network."""
    peer = "bench.peers.celery_deliveries"
    options = ("--pool", "gevent", "--concurrency", str(GREENLETS), "--loglevel", "WARNING")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    command = (sys.executable, "-m", "celery", "--app", f"{peer}:app", "worker", *options, *quiet)
    return Carrier("Celery + httpx", THEIRS, command, (sys.executable, "-m", peer))


@dataclass(frozen=True)
class Round:
    """What deliveries took; CPU seconds of the worker, the stand-in, Valkey and PostgreSQL."""

    deliveries: int
    seconds: float
    cpu: tuple[float, ...]

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds

    def __str__(self) -> str:
        shares = zip(("worker", "stand-in", "Valkey", "PostgreSQL"), self.cpu, strict=True)
        costs = ", ".join(f"{name} {1e6 * seconds / self.deliveries:.0f}" for name, seconds in shares)
        return f"{self.rate:,.0f} a second (CPU µs each: {costs})"


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    carriers = (ours(), celery())
    rounds: dict[str, list[Round]] = {one.name: [] for one in carriers}
    with connected(stage):
        for number in range(ROUNDS):
            for carrier in carriers:
                rounds[carrier.name].append(_round(carrier, stage))
                say(f"round {number + 1}: {carrier.name}: {rounds[carrier.name][-1]}")
    own, peer = (median(one.rate for one in rounds[carrier.name]) for carrier in carriers)
    goal = Goal("≥ 1,000", ours_at_least=1_000)
    figure = against(
        "deliveries_per_second", ours=own, unit="deliveries a second", peer=carriers[1].name, peer_value=peer, goal=goal
    )
    lines = [f"- {name}: {'; '.join(map(str, of))}" for name, of in rounds.items()]
    versions = ", ".join(f"{name} {version(name)}" for name in ("celery", "httpx", "gevent"))
    return [figure], [NOTE, "", *lines, f"- {versions}"]


def _round(carrier: Carrier, stage: Stage) -> Round:
    stage.clear()
    with standing_in() as sandbox:
        make_deliveries(sandbox, members=carrier.deliveries, notices=1)
        environment = surroundings(stage, sandbox)
        if carrier.prepare:
            subprocess.run(carrier.prepare, env=environment, cwd=ROOT, check=True)
        with working(carrier.command, environment) as worker:

            def used() -> tuple[float, ...]:
                return process_cpu(worker), process_cpu(sandbox.process), *stage.stored_cpu()

            wait(lambda states: states.get("delivered", 0) > 0)
            before = used()
            wait(lambda states: not states.get("pending"))
            cpu = tuple(after - start for after, start in zip(used(), before, strict=True))
    if fates() != {"delivered": carrier.deliveries}:
        raise RuntimeError(f"not all was delivered: {fates()}")
    return Round(carrier.deliveries, float(ask(SPAN)), cpu)


def hold(deliveries: int, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The run with faults: its rows and notes."""
    members = deliveries // NOTICES
    with open_stage() as stage, connected(stage), standing_in() as sandbox, ExitStack() as workers:
        fault = {"kind": "message", "code": "-1", "share": ERRORS, "times": 10**9}
        sandbox.ask("faults", fault)
        make_deliveries(sandbox, members=members, notices=NOTICES)
        begin = time.monotonic()
        first, _ = (workers.enter_context(working(ours().command, surroundings(stage, sandbox))) for _ in range(2))
        wait(lambda states: states.get("delivered", 0) * 2 >= deliveries)
        first.send_signal(signal.SIGKILL)
        first.wait()
        held = int(ask(HELD))
        say(f"killed one of two workers after {fates()['delivered']:,}; {held:,} under way at both")
        wait(lambda states: not states.get("pending"))
        seconds = time.monotonic() - begin
        tally = sandbox.ask("tally")
        return figures(deliveries, seconds, fates(), int(ask(REPEATS)), tally), [notes(deliveries, held)]


def figures(
    deliveries: int, seconds: float, states: dict[str, int], taken_over: int, tally: dict[str, int]
) -> list[Figure]:
    """The rows; RuntimeError if nothing was under way when the worker was killed."""
    if not taken_over:
        raise RuntimeError("the worker was not killed half-way")
    none = Goal("0", ours_at_most=0)
    twice = Goal("≤ 1", at_most=1.0)
    return [
        alone("deliveries_killed", ours=seconds, unit="s", goal=Goal("measured"), digits=1),
        alone("deliveries_not_made", ours=deliveries - states.get("delivered", 0), unit="deliveries", goal=none),
        against(
            "deliveries_made_twice",
            ours=tally["told"] - deliveries,
            unit="deliveries",
            peer="under way when killed",
            peer_value=taken_over,
            goal=twice,
        ),
        alone("deliveries_overlapping", ours=tally["overlaps"], unit="of one person", goal=none),
    ]


def notes(deliveries: int, held: int) -> str:
    """What the rows are of."""
    return f"""\
Deliveries with faults: {deliveries:,} messages of {NOTICES} notices to {deliveries // NOTICES:,} people, two workers,
{ERRORS:.0%} of all answers an error that passes, one worker ended by SIGKILL when half was delivered. {held:,}
deliveries were under way then, at both; the dead one's were taken over when its leases ended, a minute later."""


@contextmanager
def connected(stage: Stage) -> Iterator[None]:
    """Within an application on the stage's database."""
    config = Config(database_url=stage.postgres.url, redis_url=stage.valkey_url, secret_key=SECRET)
    with create_core(config).app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


@contextmanager
def standing_in() -> Iterator[Sandbox]:
    """WeChat's stand-in for a while."""
    port = free_port()
    command = [sys.executable, "-m", "service.sandbox", "--port", str(port), "--latency", str(LATENCY_SECONDS)]
    with running(command, dict(os.environ)) as process:
        wait_until_it_accepts(port, process)
        yield Sandbox(port, process)


@contextmanager
def working(command: Sequence[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker for a while."""
    with running(command, environment | {"WORKER_PORT": str(free_port())}) as process:
        yield process


@contextmanager
def running(command: Sequence[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def surroundings(stage: Stage, sandbox: Sandbox) -> dict[str, str]:
    """The environment of a worker."""
    return {**os.environ, **stage.environment, **sandbox.environment, "LOG_LEVEL": "error"}


def make_deliveries(sandbox: Sandbox, *, members: int, notices: int) -> None:
    """Notices told to everybody; all have more accepts than are needed, so that a repeat is seen and not refused."""
    spare = notices + 5
    for start in range(1, members + 1, 10_000):
        openids = [f"o{number}" for number in range(start, min(start + 10_000, members + 1))]
        sandbox.ask("credits", {"openids": openids, "template": TEMPLATE, "count": spare})
    db.session.execute(CLEAR)
    db.session.execute(CREDITS, {"template": TEMPLATE, "balance": spare, "members": members})
    now = read_clock()
    for number in range(notices):
        notice = Notice(
            key=f"notice {number}",
            kind="started",
            organisation_path="1",
            texts={},
            facts={"theme": "主题党日"},
            audience={},
            due_at=now,
            expires_at=now + timedelta(hours=2),
        )
        db.session.add(notice)
        db.session.flush()
        tell(notice, everybody(members), MEANS, now)
    db.session.execute(BESIDE)
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE notice_deliveries, wechat_credits"))


def everybody(members: int) -> Asked:
    """An audience of as many as are wanted."""
    number = func.generate_series(1, members).column_valued("number")
    openid = (literal("o") + cast(number, Text)).label("openid")
    columns = (number.label("member_id"), literal("1.2").label("organisation_path"), openid, true().label("consents"))
    return select(*columns)


def wait(condition: Callable[[dict[str, int]], bool]) -> None:
    """Until the fates are so; RuntimeError after too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(fates()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"still {fates()}")
        time.sleep(LOOK_SECONDS)


def fates() -> dict[str, int]:
    """How many deliveries have which fate."""
    found = {state: int(count) for state, count in db.session.execute(STATES)}
    db.session.rollback()
    return found


def ask(question: Any) -> Any:
    """One value of the database's."""
    found = db.session.scalar(question)
    db.session.rollback()
    return found
