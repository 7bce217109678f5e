"""`python -m bench million`: as many members as this machine holds, counted exactly while they rest.

They come wave by wave, and each wave only while the machine has the memory and the time for it; then the highest
number that was inside is told, and what stopped the others. Pings and counts are rarer than in a day's settings,
which is told too.
"""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.crowd import Crowd
from bench.figures import Figure, Goal, alone
from bench.recovery import right
from bench.site import Site, open_site
from service.live.audit import audit
from service.live.rehearsal import Plan
from service.live.rehearsal.conductor import MEMBERS_PER_PROCESS

FULL_SIZE = 1_000_000
# The kernel spreads them by chance: a worker has room for 19,700.
MEMBERS_PER_WORKER = 17_500
SETTINGS = {
    # Each wave comes to another address of 127.0.0.0/8, from the same ones as the wave before.
    "GATEWAY_HOST": "0.0.0.0",
    "ADDRESS_CONNECTIONS": "0",
    "PING_INTERVAL_SECONDS": "150",
    "PING_TIMEOUT_SECONDS": "60",
    "COUNT_SECONDS": "300",
    "COUNT_MAX_SECONDS": "300",
    # Sixty workers that tell of their joins ten times a second tell of three at a time.
    "FLUSH_SECONDS": "0.5",
}
WAVE = 3 * MEMBERS_PER_PROCESS
SLOWEST = 800  # joins a second below which patience ends
ASKING_AT_ONCE = 2_400
HOLD_SECONDS = 20.0
COMING_SECONDS = 1800.0
GIB = 2**30
SPARE_BYTES = 1.5 * GIB


class Held:
    """Everybody who came so far, in waves."""

    def __init__(self, site: Site, say: Callable[[str], None]) -> None:
        self.waves: list[Crowd] = []
        self.largest_need = 0
        self._site = site
        self._say = say
        self._begin = time.monotonic()

    def __len__(self) -> int:
        return sum(wave.tally.online for wave in self.waves)

    def errors(self) -> Counter[str]:
        """What went wrong on the way."""
        return sum((wave.tally.errors for wave in self.waves), Counter[str]())

    def add(self, members: int, first: int) -> None:
        """One wave comes in; RuntimeError when not all of it does."""
        before = available()
        plan = planned(self._site, members, first=first, wave=len(self.waves))
        wave = Crowd(plan, self._site.keep_running)
        self.waves.append(wave)
        took = wave.until(lambda: wave.all_inside > 0, within=60.0 + members / SLOWEST, what="a wave joins")
        wave.until(wave.staying, within=30.0, what="a wave rests")
        self.largest_need = max(self.largest_need, before - available())
        self._say(f"{len(self):,} inside, the last {members:,} in {took:.0f} s; {memory()}")

    def stopped_by(self) -> str | None:
        """Why no other wave may come."""
        if available() < SPARE_BYTES + self.largest_need:
            need = f"a wave took up to {self.largest_need / GIB:.1f} GiB and {SPARE_BYTES / GIB:.1f} are to stay free"
            return f"memory: {available() / GIB:.1f} GiB available, {need}"
        if time.monotonic() - self._begin > COMING_SECONDS:
            return f"time: {COMING_SECONDS:.0f} s were over"
        return None

    def leave(self) -> float:
        """Everybody goes; how long that took."""
        begin = time.monotonic()
        for wave in self.waves:
            wave.leave(within=60.0)
        return time.monotonic() - begin

    def close(self) -> None:
        """End what still runs."""
        for wave in self.waves:
            wave.close()


def hold(members: int, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """As many of `members` as can join and stay a while; the figure and notes."""
    workers = max(2, -(-members // MEMBERS_PER_WORKER))
    notes = [f"- {workers} gateway workers; " + ", ".join(f"{name} {value}" for name, value in SETTINGS.items())]
    with open_site(workers, **SETTINGS) as site:
        notes.append(f"- before anybody came: {memory()}, {belongings(site)}")
        held = Held(site, say)
        try:
            come(held, members, notes)
            online = rest(site, held, notes)
            notes.append(f"- at the end of the rest: {memory()}, {belongings(site)}")
            notes.append(f"- errors on the way: {dict(held.errors()) or 'none'}")
            notes.append(f"- everybody left within {held.leave():.0f} s")
        finally:
            held.close()
    goal = Goal("≥ 1,000,000", ours_at_least=FULL_SIZE)
    size = "" if members == FULL_SIZE else f" (of {members:,})"
    return [alone(f"held{size}", ours=online, unit="members", goal=goal, digits=0)], notes


def come(held: Held, members: int, notes: list[str]) -> None:
    """Wave after wave, until everybody is inside or something stops them, which is noted."""
    begin, stopped = time.monotonic(), None
    for first in range(1, members + 1, WAVE):
        stopped = held.stopped_by()
        if stopped is None:
            try:
                held.add(min(WAVE, members - first + 1), first)
            except RuntimeError as failure:
                stopped = str(failure)[:400]
        if stopped is not None:
            notes.append(f"- stopped by {stopped}")
            break
    seconds = time.monotonic() - begin
    notes.append(f"- {len(held):,} came in {seconds:.0f} s, {len(held) / seconds:,.0f} a second")


def rest(site: Site, held: Held, notes: list[str]) -> int:
    """Nobody moves for a while: how many are counted, exactly; 0 if the count is not called exact, or is wrong."""
    last = held.waves[-1]
    try:
        took = last.until(lambda: right(site, len(held)), within=60.0, what="an exact count")
        online = len(held)
        notes.append(f"- the wall showed exactly {online:,}, called exact, {took:.1f} s after the last join")
        rest_until = time.monotonic() + HOLD_SECONDS
        last.until(lambda: time.monotonic() > rest_until, within=2 * HOLD_SECONDS, what="rest")
        last.until(lambda: right(site, len(held)), within=30.0, what="an exact count at the end of the rest")
        online = min(online, len(held))
    except RuntimeError as failure:
        notes.append(f"- {failure}"[:400])
        online = 0
    with site.valkey() as client:
        found = audit(client, site.slots)
    notes.append(f"- recounted{' at rest' if found.at_rest else ''}: differences {found.differences or 0}")
    return 0 if found.at_rest and found.differences else online


def planned(site: Site, members: int, *, first: int, wave: int) -> Plan:
    """Everybody at once, as quickly as they are answered, to the wave's own address: every pair of addresses is new."""
    generators = -(-members // MEMBERS_PER_PROCESS)
    return Plan(
        gateway_url=f"http://127.1.{wave + 1}.1:{site.config.gateway_port}",
        stream=site.stream,
        members=site.candidates(members, first=first),
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


def available() -> int:
    """Bytes that the machine has left."""
    return int(psutil.virtual_memory().available)


def memory() -> str:
    """What the machine has in use."""
    found = psutil.virtual_memory()
    return f"memory {(found.total - found.available) / GIB:.1f} of {found.total / GIB:.1f} GiB in use"


def belongings(site: Site) -> str:
    """Whose memory that is (USS)."""
    parts = {name: family(pid) for name, pid in site.pids().items()} | {"members": family(psutil.Process().pid)}
    parts["members"] -= sum(used for name, used in parts.items() if name != "members")
    shown = ", ".join(f"{name} {used / GIB:.2f}" for name, used in parts.items())
    return f"in GiB: {shown}, the kernel's objects {slab() / GIB:.2f}"


def family(pid: int) -> int:
    """USS of a process and all below it."""
    parent = psutil.Process(pid)
    return sum(int(one.memory_full_info().uss) for one in (parent, *parent.children(recursive=True)))


def slab() -> int:
    """Bytes of the kernel's own objects, most of them sockets here."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(line[1]) * 1024 for line in lines if line[0] == "Slab:")
