"""`python -m bench day`: the founding day whole, at any size, judged by the members' own count.

Everybody joins, watches, is pinged and gets a message; some drop and come back; a gateway worker is killed; Valkey is
started empty; everybody leaves. Every figure that the organisers' feed calls exact must lie inside what the members
counted themselves, and equal it whenever they are at rest.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import text

from bench.crowd import Crowd
from bench.figures import Figure, Goal, alone
from bench.site import Site, open_site
from service.extensions import db
from service.live.audit import audit
from service.live.rehearsal import Plan, Result, outside

MEMBERS_PER_WORKER = 15_000
LEAVES_PER_SECOND = 10_000
WINDOW = 150  # joins under way in each of the members' processes
FULL_SIZE = 150_000
REST_SECONDS = 2.0
AUDIT_SECONDS = 20.0
RECOVERY_SECONDS = 7.0  # the lease and two seconds: what DESIGN allows after the loss of a part


@dataclass
class Day:
    """A day under way, and what was seen of it."""

    site: Site
    crowd: Crowd
    members: int
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    recoveries: list[tuple[float, float]] = field(default_factory=list)
    disagreements: int = 0

    def note(self, line: str) -> None:
        """Keep a line for the page, and say it."""
        self.notes.append(f"- {line}")
        self.say(line)

    def right(self, online: int) -> bool:
        """Whether the wall shows exactly so many people and connections, called exact."""
        last = self.site.witness.shown[-1]
        return last.exact and last.online == last.connections == online

    def settle(self, what: str, *, within: float) -> None:
        """Wait until everybody is back inside and the wall says so; then recount Valkey from the ground."""
        begin = time.time()
        everybody = self.members
        self.crowd.until(
            lambda: self.crowd.tally.online == everybody and self.right(everybody), within=within, what=what
        )
        self.note(f"{what}: exactly {everybody:,} after {time.time() - begin:.1f} s; {self._recounted()}")

    def _recounted(self) -> str:
        deadline = time.monotonic() + AUDIT_SECONDS  # members within grace are let go without a change of the count
        with self.site.valkey() as client:
            found = audit(client, self.site.slots)
            while not found.at_rest and time.monotonic() < deadline:
                found = audit(client, self.site.slots)
        if not found.at_rest:
            return "recounted while something moved"
        self.disagreements += len(found.differences)
        return f"recounted at rest, difference {found.differences or 0}"


def hold(members: int, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The day; its figures and notes. RuntimeError when a part of it does not come about."""
    workers = max(2, -(-members // MEMBERS_PER_WORKER))
    say(f"starting an installation with {workers} gateway workers")
    with open_site(workers) as site:
        plan = planned(site, members)
        crowd = Crowd(plan, site.keep_running)
        try:
            day = Day(site, crowd, members, say)
            return live_through(day)
        finally:
            crowd.close()


def planned(site: Site, members: int) -> Plan:
    """Whom, where to and how."""
    return Plan(
        gateway_url=site.gateway_url,
        stream=site.stream,
        members=site.candidates(members),
        curve="burst",
        arrival_seconds=0.0,
        plateau_seconds=0.0,
        leave_seconds=max(1.0, members / LEAVES_PER_SECOND),
        quiet_seconds=1.0,
        churn_per_minute=0.0,
        repeat_share=0.02,
        check_in_share=0.0,
        window=WINDOW,
        stay=True,
    )


def live_through(day: Day) -> tuple[list[Figure], list[str]]:
    """Every part of the day, in its order."""
    before = day.site.cpu()
    seconds, age = join(day)
    tell_costs(day, before)
    everybody_hears(day)
    some_drop(day)
    lose_a_worker(day)
    lose_valkey(day)
    result = everybody_leaves(day)
    judge(day, result)
    size = "" if day.members == FULL_SIZE else f" ({day.members:,} members)"
    figures = [
        alone(f"join_150k{size}", ours=seconds, unit="s", goal=Goal("≤ 60 s", ours_at_most=60.0)),
        alone(f"count_age_p99{size}", ours=age, unit="s", goal=Goal("≤ 1 s", ours_at_most=1.0)),
        alone(
            f"day_disagreements{size}", ours=day.disagreements, unit="figures", goal=Goal("0", ours_at_most=0), digits=0
        ),
    ]
    return figures, day.notes


def join(day: Day) -> tuple[float, float]:
    """Everybody joins: how long it took, and how old the organisers' count was meanwhile."""
    crowd = day.crowd
    crowd.until(lambda: crowd.all_inside > 0, within=60.0 + day.members / 500, what="everybody joins")
    seconds = crowd.all_inside - crowd.first_asked
    age = day.site.witness.age_p99(crowd.first_asked, crowd.all_inside)
    tally = crowd.tally
    day.note(
        f"{tally.joined:,} of {day.members:,} members joined in {seconds:.1f} s, {tally.joined / seconds:,.0f} a second"
        f" (all at once, {WINDOW} of each process under way at a time); age of the organisers' count p99 {age:.2f} s;"
        f" errors on the way: {dict(tally.errors) or 'none'}"
    )
    crowd.until(crowd.staying, within=30.0, what="the plateau")
    day.settle("at rest after the joins", within=15.0)
    return seconds, age


def tell_costs(day: Day, before: dict[str, float]) -> None:
    """What the joins cost, by part."""
    costs = {name: seconds - before.get(name, 0.0) for name, seconds in day.site.cpu().items()}
    shares = ", ".join(f"{name} {seconds:.1f}" for name, seconds in costs.items())
    day.note(f"CPU seconds of the joins: members {day.crowd.tally.cpu_seconds:.1f}, {shares}")


def everybody_hears(day: Day) -> None:
    """One message reaches everybody."""
    day.crowd.order("listen")
    patience = 30.0 + day.site.config.count_max_seconds
    day.crowd.until(lambda: day.crowd.tally.reached < day.members, within=patience, what="listening anew")
    seconds = day.crowd.until(
        lambda: day.crowd.tally.reached >= day.members, within=patience, what="everybody hears the count"
    )
    config = day.site.config
    day.note(
        f"everybody had the next message within {seconds:.1f} s (each worker sends the count every"
        f" {config.count_seconds:g} to {config.count_max_seconds:g} s, by its connections:"
        f" {config.messages_per_second:g} messages a second)"
    )


def some_drop(day: Day) -> None:
    """A twentieth loses the connection and comes back."""
    before = day.crowd.tally.dropped
    day.crowd.order("drop")
    day.crowd.until(lambda: day.crowd.tally.dropped > before, within=10.0, what="some drop")
    day.settle("after 5 % dropped and came back", within=30.0 + day.members / 5_000)
    day.note(f"{day.crowd.tally.dropped - before:,} had dropped")


def lose_a_worker(day: Day) -> None:
    """A gateway worker is killed; its members come back to the others.

    At rest for a while, so that it has no stay left to write: those of its last second would be lost.
    """
    rest_until = time.monotonic() + REST_SECONDS
    day.crowd.until(lambda: time.monotonic() >= rest_until, within=60.0, what="rest")
    before, begin = day.crowd.tally.lost, time.time()
    os.kill(day.site.gateway_workers()[0], signal.SIGKILL)
    day.crowd.until(lambda: day.crowd.tally.lost > before, within=10.0, what="members notice")
    day.settle("after a gateway worker was killed", within=60.0)
    day.recoveries.append((begin, time.time()))
    told_right(day, begin, "killing a worker")
    day.note(f"{day.crowd.tally.lost - before:,} members had lost their connection")


def lose_valkey(day: Day) -> None:
    """Valkey is killed and comes back empty."""
    begin = time.time()
    process = day.site.installation.valkey.process
    if process is None:
        raise RuntimeError("no Valkey")
    process.kill()
    process.wait()
    day.site.keep_running()
    day.crowd.until(lambda: not day.site.witness.shown[-1].exact, within=10.0, what="the wall notices")
    day.settle("after Valkey started empty", within=60.0)
    day.recoveries.append((begin, time.time()))
    told_right(day, begin, "Valkey's loss")


def told_right(day: Day, begin: float, what: str) -> None:
    """How long after `begin` the wall last showed something that was not right."""
    shown = [one for one in day.site.witness.shown if one.heard >= begin]
    wrong = [one for one in shown if not (one.exact and one.online == one.connections == day.members)]
    after = [one for one in shown if not wrong or one.heard > wrong[-1].heard]
    day.note(f"{what}: right again on the wall after {after[0].heard - begin:.1f} s, members' return included")


def everybody_leaves(day: Day) -> Result:
    """Everybody leaves, and the wall says so."""
    begin = time.time()
    result = day.crowd.leave(within=60.0 + day.members / 1_000)
    last = time.time()
    day.crowd.until(lambda: day.right(0), within=30.0, what="the wall is empty")
    day.note(
        f"everybody left in {last - begin:.1f} s; the wall showed nobody {max(0.0, time.time() - last):.1f} s later"
    )
    return result


def judge(day: Day, result: Result) -> None:
    """Nothing lost, nothing left over, and no figure called exact that was not: whatever is, is a disagreement."""
    day.disagreements += (day.members - result.joined) + result.failed + result.online_at_end
    rows = ledger(day, result.stays)
    day.disagreements += abs(rows[0] - result.stays) + rows[1]
    day.note(f"stays: the members counted {result.stays:,}, PostgreSQL has {rows[0]:,}, {rows[1]} of them open")
    with day.site.valkey() as client:
        left = audit(client, day.site.slots).differences
    day.disagreements += len(left)
    day.note(f"left over in Valkey: {left or 'nothing'}")
    tell_audits(day)
    tell_ages(day)
    latency = " / ".join(str(result.join_ms[key]) for key in ("p50", "p99", "max"))
    day.note(f"join latency p50 / p99 / max, every return included: {latency} ms; errors: {result.errors or 'none'}")


def ledger(day: Day, expected: int) -> tuple[int, int]:
    """Stays in PostgreSQL and how many are open, once the last is written."""
    rows = (0, 0)
    deadline = time.monotonic() + 30.0
    while rows != (expected, 0) and time.monotonic() < deadline:
        day.site.keep_running()
        time.sleep(0.2)
        query = text("SELECT count(*), count(*) - count(left_at) FROM stays WHERE stream_id = :stream")
        total, open_ = db.session.execute(query, {"stream": day.site.stream}).one()
        rows = (int(total), int(open_))
        db.session.rollback()
    return rows


def tell_audits(day: Day) -> None:
    """How many snapshots were called exact, and which of them the members contradict."""
    shown = day.site.witness.shown
    exact = sum(one.exact for one in shown)
    wrong = outside(shown, day.crowd.counted)
    elsewhere = [one for one in wrong if not any(begin <= one[0].as_of <= end for begin, end in day.recoveries)]
    day.note(
        f"{len(shown):,} snapshots on the wall, {exact:,} called exact; outside the members' own count:"
        f" {len(wrong) - len(elsewhere)} while a part was being replaced, {len(elsewhere)} at other times"
    )
    for one, fewest, most in wrong[:5]:
        day.note(f"outside: {one.online} at {one.as_of:.3f}, the members say {fewest} to {most}")
    day.disagreements += len(elsewhere)


def tell_ages(day: Day) -> None:
    """The age of the count over the whole day, outside the recoveries and inside."""
    ages = day.site.witness.ages
    calm = sorted(
        age for at, age in ages if not any(begin <= at <= end + RECOVERY_SECONDS for begin, end in day.recoveries)
    )
    worst = max(age for _, age in ages)
    day.note(
        f"age of the organisers' count, whole day outside recoveries: p99 {calm[len(calm) * 99 // 100]:.2f} s;"
        f" worst of all {worst:.2f} s"
    )
