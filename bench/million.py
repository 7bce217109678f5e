"""`python -m bench million`: as many members as this machine holds, counted exactly while they rest.

Pings and counts are rarer than in a day's settings, which is told. When not everybody gets in, the highest number that
was inside is told, and what stopped the others.
"""

import time
from collections.abc import Callable

import psutil

from bench.crowd import Crowd
from bench.figures import Figure, Goal, alone
from bench.recovery import right
from bench.site import Site, open_site
from service.live.audit import audit
from service.live.rehearsal import Plan
from service.live.rehearsal.conductor import MEMBERS_PER_PROCESS

FULL_SIZE = 1_000_000
MEMBERS_PER_WORKER = 15_000
SETTINGS = {"PING_INTERVAL_SECONDS": "150", "PING_TIMEOUT_SECONDS": "60", "COUNT_SECONDS": "120"}
SLOWEST = 1_500  # joins a second below which patience ends
ASKING_AT_ONCE = 3_000
HOLD_SECONDS = 20.0


def hold(members: int, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """Everybody joins and stays a while; the figure and notes."""
    workers = max(2, -(-members // MEMBERS_PER_WORKER))
    notes = [f"- {workers} gateway workers; " + ", ".join(f"{name} {value}" for name, value in SETTINGS.items())]
    with open_site(workers, **SETTINGS) as site:
        say("issuing tokens")
        crowd = Crowd(planned(site, members), site.keep_running)
        try:
            held = reach(site, crowd, members=members, notes=notes, say=say)
            notes.append(f"- errors on the way: {dict(crowd.tally.errors) or 'none'}; {memory()}")
            begin = time.monotonic()
            crowd.leave(within=120.0 + members / 2_000)
            notes.append(f"- everybody left within {time.monotonic() - begin:.0f} s")
        finally:
            crowd.close()
    goal = Goal("≥ 1,000,000", ours_at_least=FULL_SIZE)
    size = "" if members == FULL_SIZE else f" (of {members:,})"
    return [alone(f"held{size}", ours=held, unit="members", goal=goal, digits=0)], notes


def planned(site: Site, members: int) -> Plan:
    """Everybody at once, as quickly as they are answered."""
    generators = -(-members // MEMBERS_PER_PROCESS)
    return Plan(
        gateway_url=site.gateway_url,
        stream=site.stream,
        members=site.candidates(members),
        curve="burst",
        arrival_seconds=0.0,
        plateau_seconds=0.0,
        quiet_seconds=1.0,
        leave_seconds=members / 15_000,
        leave_acknowledged=False,
        churn_per_minute=0.0,
        repeat_share=0.0,
        check_in_share=0.0,
        window=max(10, ASKING_AT_ONCE // generators),
        stay=True,
    )


def reach(site: Site, crowd: Crowd, *, members: int, notes: list[str], say: Callable[[str], None]) -> int:
    """Wait for everybody, and for an exact count of them; how many that were in the end."""
    try:
        crowd.until(lambda: told(crowd, say), within=60.0 + members / SLOWEST, what="everybody joins")
    except RuntimeError as failure:
        notes.append(f"- stopped: {failure}"[:400])
    seconds = (crowd.all_inside or time.time()) - crowd.first_asked
    notes.append(f"- {crowd.tally.joined:,} joined in {seconds:.0f} s, {crowd.tally.joined / seconds:,.0f} a second")
    online = crowd.tally.online
    try:
        took = crowd.until(lambda: right(site, crowd.tally.online), within=30.0, what="an exact count")
        online = crowd.tally.online
        notes.append(f"- the wall showed exactly {online:,}, called exact, {took:.1f} s after the last join")
        rest_until = time.monotonic() + HOLD_SECONDS
        crowd.until(lambda: time.monotonic() > rest_until, within=2 * HOLD_SECONDS, what="rest")
    except RuntimeError as failure:
        notes.append(f"- {failure}"[:400])
    with site.valkey() as client:
        found = audit(client, site.slots)
    notes.append(f"- recounted{' at rest' if found.at_rest else ''}: differences {found.differences or 0}")
    return online


def told(crowd: Crowd, say: Callable[[str], None]) -> bool:
    """Whether everybody has been inside or has given up; says now and then how far they are."""
    if int(time.monotonic() * 20) % 200 == 0:
        say(f"{crowd.tally.online:,} inside; {memory()}")
    return crowd.all_inside > 0


def memory() -> str:
    """What the machine has left."""
    found = psutil.virtual_memory()
    return f"memory {(found.total - found.available) / 2**30:.1f} of {found.total / 2**30:.1f} GiB in use"
