"""`python -m bench soak`: many members come and go for a long time; memory must not grow, no counter may drift."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean

import psutil

from bench.crowd import Crowd
from bench.figures import Figure, Goal, alone
from bench.recovery import right
from bench.site import Site, open_site
from service.live.audit import audit
from service.live.rehearsal import Plan, outside

FULL_SIZE = 20_000
MEMBERS_PER_WORKER = 10_000
SECONDS = 600.0
WARM_UP = 0.2  # of the time
SAMPLES = 60
AUDITS = 6
CHURN_PER_MINUTE = 0.10
REST_SECONDS = 30.0
PARTS = ("gateway", "web", "worker")

Memory = dict[str, float]


def hold(members: int, say: Callable[[str], None], seconds: float = SECONDS) -> tuple[list[Figure], list[str]]:
    """Soak an installation; the figures and notes."""
    with open_site(max(2, -(-members // MEMBERS_PER_WORKER))) as site:
        crowd = Crowd(planned(site, members), site.keep_running)
        try:
            crowd.until(crowd.staying, within=60.0 + members / 500, what="everybody joins")
            samples, audits = watch(site, crowd, members=members, seconds=seconds, say=say)
            result = crowd.leave(within=60.0)
        finally:
            crowd.close()
        wrong = outside(site.witness.shown, crowd.counted)
        exact = sum(one.exact for one in site.witness.shown)
    notes = [
        f"- {members:,} members for {seconds:g} s, {CHURN_PER_MINUTE:.0%} of them a minute drop or leave and come back:"
        f" {result.stays:,} stays, {result.dropped:,} connections lost, errors: {result.errors or 'none'}.",
        f"- {len(audits)} recounts at rest; differences: {[audit for audit in audits if audit] or 'none'}.",
        f"- {exact:,} of {len(site.witness.shown):,} snapshots called exact, {len(wrong)} of them outside the"
        " members' own count.",
        *(f"- {one.online} at {one.as_of:.3f}, the members say {least} to {most}" for one, least, most in wrong[:5]),
        "- Memory (USS, MiB) at the end of the warm-up and at the end: " + described(samples) + ".",
    ]
    total = growth([sum(sample.values()) for sample in samples])
    differences = sum(map(len, audits)) + len(wrong)
    figures = [
        alone("soak_memory_growth", ours=total, unit="%", goal=Goal("≤ 2 %", ours_at_most=2.0)),
        alone("soak_audit_difference", ours=differences, unit="figures", goal=Goal("0", ours_at_most=0), digits=0),
    ]
    return figures, notes


def planned(site: Site, members: int) -> Plan:
    """They come within a minute and stay, not quietly."""
    return Plan(
        gateway_url=site.gateway_url,
        stream=site.stream,
        members=site.candidates(members),
        curve="ramp",
        arrival_seconds=members / 1_000,
        plateau_seconds=0.0,
        quiet_seconds=1.0,
        churn_per_minute=CHURN_PER_MINUTE,
        check_in_share=0.0,
        stay=True,
    )


def watch(
    site: Site, crowd: Crowd, *, members: int, seconds: float, say: Callable[[str], None]
) -> tuple[list[Memory], list[dict[str, int]]]:
    """Memory now and then, and now and then a moment of rest for a recount; both kinds evenly spread."""
    samples: list[Memory] = []
    audits: list[dict[str, int]] = []
    for number in range(1, SAMPLES + 1):
        until = time.monotonic() + seconds / SAMPLES
        crowd.until(partial(passed, until), within=seconds, what="time")
        samples.append(memory(site))
        if number % (SAMPLES // AUDITS) == 0:
            audits.append(recount(site, crowd, members))
            say(f"{number * seconds / SAMPLES:.0f} s: {samples[-1]}, differences {audits[-1] or 'none'}")
    return samples, audits


def passed(moment: float) -> bool:
    """Whether a moment of the monotonic clock is over."""
    return time.monotonic() >= moment


def recount(site: Site, crowd: Crowd, members: int) -> dict[str, int]:
    """A moment of rest; the counters that differ from what is really held."""
    deadline = time.monotonic() + REST_SECONDS
    crowd.order("calm")
    crowd.until(lambda: crowd.tally.online == members and right(site, members), within=REST_SECONDS, what="rest")
    with site.valkey() as client:
        found = audit(client, site.slots)
        while not found.at_rest and time.monotonic() < deadline:
            found = audit(client, site.slots)
    crowd.order("stir")
    return found.differences if found.at_rest else found.differences | {"never at rest": 1}


def memory(site: Site) -> Memory:
    """MiB that belong to each part alone."""
    pids = {one.name: one.running.pid for one in site.installation.processes if one.running}
    return {name: round(family_memory(pids[name]) / 2**20, 1) for name in PARTS}


def family_memory(pid: int) -> int:
    """USS of a process and all its children."""
    parent = psutil.Process(pid)
    return sum(int(one.memory_full_info().uss) for one in (parent, *parent.children(recursive=True)))


def growth(values: Sequence[float]) -> float:
    """By how many per cent the last tenth lies above the first tenth after the warm-up."""
    tenth = max(1, len(values) // 10)
    begin = round(len(values) * WARM_UP)
    return 100 * (mean(values[-tenth:]) / mean(values[begin : begin + tenth]) - 1)


def described(samples: Sequence[Mapping[str, float]]) -> str:
    """Begin, end and growth of each part."""
    begin = round(len(samples) * WARM_UP)
    parts = ((name, [sample[name] for sample in samples]) for name in PARTS)
    return ", ".join(
        f"{name} {values[begin]:.1f} and {values[-1]:.1f} ({growth(values):+.2f} %)" for name, values in parts
    )
