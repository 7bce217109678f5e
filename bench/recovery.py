"""A gateway worker is killed while everybody watches: how long the organisers' wall is wrong; and how old it is before.

A whole installation with five workers; some 2,000 members lose theirs and come back to the others. The wall is right
again when it calls exact what the members count themselves, people and connections, and stays so.
"""

import os
import signal
import time
from collections.abc import Callable
from statistics import median

from bench.crowd import Crowd
from bench.figures import Figure, Goal, alone
from bench.site import Site, open_site
from bench.stage import Stage
from service.live.rehearsal import Plan

ROUNDS = 3
WORKERS = 5
MEMBERS = 10_000
WATCH_SECONDS = 10.0
NOTE = f"""\
Recovery: one installation, {MEMBERS:,} members on {WORKERS} gateway workers; {ROUNDS} times the worker with the most
members is killed with SIGKILL; median. Wrong is whatever the wall shows that is not exactly the members' own count,
or not called exact; the time runs to the first snapshot after the last wrong one, with {WATCH_SECONDS:g} s watched.
`count_age_p99` is that of the organisers' client while these members join all at once, sampled every 20 ms."""


def measure(_: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The rows of the table and the notes below it."""
    with open_site(WORKERS) as site:
        crowd = Crowd(planned(site), site.keep_running)
        try:
            crowd.until(crowd.staying, within=60.0, what="everybody joins")
            age = site.witness.age_p99(crowd.first_asked, crowd.all_inside)
            say(f"age of the count p99 {age:.2f} s over {crowd.all_inside - crowd.first_asked:.1f} s of joins")
            kills = [kill(site, crowd, say) for _ in range(ROUNDS)]
        finally:
            crowd.close()
    return figures(age, [seconds for _, seconds in kills]), [NOTE, "", *(f"- {_describe(*one)}" for one in kills)]


def planned(site: Site) -> Plan:
    """Everybody at once, then they stay."""
    return Plan(
        gateway_url=site.gateway_url,
        stream=site.stream,
        members=site.candidates(MEMBERS),
        curve="burst",
        arrival_seconds=0.0,
        plateau_seconds=0.0,
        quiet_seconds=1.0,
        leave_seconds=1.0,
        churn_per_minute=0.0,
        repeat_share=0.0,
        check_in_share=0.0,
        stay=True,
    )


def kill(site: Site, crowd: Crowd, say: Callable[[str], None]) -> tuple[int, float]:
    """Kill a worker at rest; how many lost their connection, and how long until the wall was right for good."""
    crowd.until(lambda: right(site, MEMBERS) and crowd.tally.online == MEMBERS, within=30.0, what="rest")
    lost, begin = crowd.tally.lost, time.time()
    os.kill(fullest(site), signal.SIGKILL)
    crowd.until(lambda: time.time() > begin + WATCH_SECONDS, within=WATCH_SECONDS + 5, what="the wall")
    shown = [one for one in site.witness.shown if one.as_of >= begin]
    wrong = [one.heard for one in shown if not (one.exact and one.online == one.connections == MEMBERS)]
    good = [one.heard for one in shown if not wrong or one.heard > wrong[-1]]
    found = crowd.tally.lost - lost, (good[0] if good else time.time()) - begin
    say(_describe(*found))
    return found


def fullest(site: Site) -> int:
    """The worker with the most open descriptors."""
    return max(site.gateway_workers(), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))


def right(site: Site, online: int) -> bool:
    """Whether the wall shows so many, exactly."""
    last = site.witness.shown[-1]
    return last.exact and last.online == last.connections == online


def figures(age: float, seconds: list[float]) -> list[Figure]:
    """Both rows."""
    return [
        alone("kill_recovery", ours=median(seconds), unit="s", goal=Goal("≤ 7 s", ours_at_most=7.0)),
        alone("count_age_p99", ours=age, unit="s", goal=Goal("≤ 1 s", ours_at_most=1.0)),
    ]


def _describe(lost: int, seconds: float) -> str:
    return f"{lost:,} members lost their connection; right again after {seconds:.1f} s"
