"""`chunshui rehearse`: synthetic members on the real path of a running installation, and the report at the end.

A rehearsal is an activity of its own, a copy of a real one or the founding day again, which only they see. Nothing is
removed afterwards: it closes by itself, stays on the wall with its mark, and enters no real figure.
"""

import json
import os
import secrets
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import select

from service import clock, founding
from service.activity.models import Stream
from service.config import Config
from service.demo import connected, panel, plan_of, show
from service.extensions import db
from service.language import words
from service.live.rehearsal import Audit, Counted, Plan, Progress, Rehearsal, Result, audits
from service.reckoning import settle
from service.scope import scoped
from service.watching import Witness

# Long enough for the largest; after it the founding day's rehearsal is no longer in anybody's list.
LASTS = timedelta(hours=1)
AGES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
NOTICE_SECONDS = 2.0  # until a gateway has noticed a loss, and the count that the grace is over
LIMIT_SHARE = 0.8  # of the cores that its processes could use: from there on the generator may be what is measured


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be rehearsed; without an activity it is the founding day."""

    members: int
    activity: int | None = None
    curve: str = "founding-day"
    arrival_seconds: float | None = None
    plateau_seconds: float = 20.0
    second_devices: float = 0.0
    drop: float = 0.0


@dataclass
class Notebook:
    """What is noted on the way: the members' own counts, and what the joins cost them."""

    plan: Plan
    grace: float = 0.0
    counted: list[Counted] = field(default_factory=list)
    losses: list[tuple[float, int]] = field(default_factory=list)
    began: Progress | None = None
    inside: Progress | None = None
    plateau_at: float | None = None

    def note(self, progress: Progress) -> None:
        """Keep what the report needs of `progress`."""
        tally = progress.tally
        if progress.oldest:
            self.counted.append(self._bounded(progress))
        if self.began is None and tally.asking:
            self.began = progress
        if self.inside is None and tally.settled >= tally.devices > 0:
            self.inside = progress
        if self.plateau_at is None and progress.phase == "plateau":
            self.plateau_at = progress.seconds

    def _bounded(self, progress: Progress) -> Counted:
        """What the members count; whoever leaves for good soon after a loss is held by that connection's grace."""
        tally, counted = progress.tally, Counted.of(progress)
        self.losses.append((progress.newest, tally.dropped + tally.lost))
        if progress.phase not in ("leaving", "gone"):
            return counted
        since = progress.oldest - self.grace - NOTICE_SECONDS
        before = max((lost for at, lost in self.losses if at <= since), default=0)
        return replace(counted, most=counted.most + self.losses[-1][1] - before)

    def to_drop(self, progress: Progress) -> bool:
        """Whether half of the plateau is over."""
        return self.plateau_at is not None and progress.seconds >= self.plateau_at + self.plan.plateau_seconds / 2

    def generator(self, result: Result) -> dict[str, Any]:
        """What the members' own processes used while everybody joined, and whether that may have been the limit."""
        if self.began is None or self.inside is None:
            return {"processes": result.generators, "cpu_seconds": result.generator_cpu_seconds}
        seconds = max(0.01, self.inside.seconds - self.began.seconds)
        used = self.inside.tally.cpu_seconds - self.began.tally.cpu_seconds
        share = used / seconds / min(result.generators, os.cpu_count() or 1)
        return {
            "processes": result.generators,
            "cpu_seconds": round(result.generator_cpu_seconds, 2),
            "join_seconds": round(seconds, 2),
            "join_cpu_seconds": round(used, 2),
            "limited": share > LIMIT_SHARE,
        }


def rehearse_against(config: Config, url: str, wishes: Wishes, *, reports: Path, as_json: bool) -> bool:
    """Rehearse against the installation at `url` that uses `config`'s database; whether everything agreed.

    The report is shown and kept in the folder `reports`. ServiceError if the activity cannot be rehearsed.
    """
    console = Console(stderr=as_json)
    login, password = f"rehearsal-{secrets.token_hex(6)}", secrets.token_urlsafe(24)
    with connected(config):
        now = clock.now()
        day = founding.enact(now, LASTS) if wishes.activity is None else founding.copied(wishes.activity, now)
        founding.enrol_organiser(login, password, day.root, now)
        try:
            plan = planned(config, url, day, wishes)
            report = witnessed(plan, day, Witness(url, cookie=founding.seat(login, config, now)), console)
        finally:
            db.session.rollback()
            founding.dismiss_organiser(login)
    report |= {"activity": day.activity, "stream": day.stream, "copy_of": wishes.activity, "curve": plan.curve}
    kept = keep(report, reports)
    show(console, report, as_json=as_json)
    tell(console, report, kept)
    return bool(report["agreed"])


def planned(config: Config, url: str, day: founding.Enactment, wishes: Wishes) -> Plan:
    """The plan of `wishes`, its members enrolled."""
    plan = plan_of(config, url, day, wishes.members, stay=False)
    return replace(
        plan,
        curve=wishes.curve,
        arrival_seconds=plan.arrival_seconds if wishes.arrival_seconds is None else wishes.arrival_seconds,
        plateau_seconds=wishes.plateau_seconds,
        second_device_share=wishes.second_devices,
        drop_share=wishes.drop,
    )


def witnessed(plan: Plan, day: founding.Enactment, witness: Witness, console: Console) -> dict[str, Any]:
    """Rehearse before an organiser's eyes; the report."""
    witness.watch(day.stream)
    grace = db.session.scalars(scoped(select(Stream.grace_seconds), Stream.id == day.stream)).one()
    db.session.commit()  # nothing may be under way for as long as a rehearsal lasts
    notebook = Notebook(plan, grace)
    try:
        result = rehearse(plan, witness, notebook, console)
        return reported(settle(day, result, witness), result, witness, notebook)
    finally:
        witness.close()


def rehearse(plan: Plan, witness: Witness, notebook: Notebook, console: Console) -> Result:
    """Run the members through it and show how it goes; half-way through some drop at once, if any are to."""
    dropped = plan.drop_share == 0
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def report(progress: Progress) -> None:
            nonlocal dropped
            notebook.note(progress)
            live.update(panel(progress, witness.figures))
            if not dropped and notebook.to_drop(progress):
                dropped = True
                rehearsal.order("drop")

        rehearsal = Rehearsal(plan, report)
        return rehearsal.run(threading.Event())


def reported(figures: dict[str, Any], result: Result, witness: Witness, notebook: Notebook) -> dict[str, Any]:
    """The report: the figures of all sides, and how well the count was kept on the way."""
    found = audits(witness.shown, notebook.counted)
    audited = judged(found) | {"snapshots": len(witness.shown)}
    return {
        **figures,
        "join_ms": result.join_ms,
        "count_age_seconds": {name: rounded(witness.age(share)) for name, share in AGES.items()},
        "errors": result.errors,
        "audits": audited,
        "generator": notebook.generator(result),
        "agreed": figures["agreed"] and not audited["outside"],
    }


def judged(found: list[Audit]) -> dict[str, Any]:
    """How many snapshots called exact were held against the members' own count, and those that fell outside."""
    wrong = [one for one in found if not one.agrees]
    return {
        "exact": len(found),
        "at_rest": sum(one.at_rest for one in found),
        "outside": [
            {"at": one.shown.as_of, "online": one.shown.online, "fewest": one.fewest, "most": one.most} for one in wrong
        ],
    }


def rounded(seconds: float | None) -> float | None:
    """To the millisecond."""
    return None if seconds is None else round(seconds, 3)


def keep(report: dict[str, Any], folder: Path) -> Path:
    """Write the report into `folder`; where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"rehearsal-{report['activity']}.json"
    file.write_text(json.dumps(report, ensure_ascii=False, default=str, indent=1) + "\n", encoding="utf-8")
    return file


def tell(console: Console, report: dict[str, Any], kept: Path) -> None:
    """Print what the table of figures does not say."""
    table = Table(box=None, show_header=False)
    for row in lines(report, kept):
        table.add_row(*row)
    console.print(table)


def lines(report: dict[str, Any], kept: Path) -> list[tuple[str, str]]:
    """The report's other half, a line each."""
    audited, generator = report["audits"], report["generator"]
    limited = words("可能是瓶颈", "may have been the limit") if generator.get("limited") else ""
    used = f"{generator['cpu_seconds']} s · {generator['processes']} {words('个进程', 'processes')}  {limited}"
    return [
        (words("加入耗时（毫秒）", "join latency, ms"), spread(report["join_ms"])),
        (words("人数时延（秒）", "age of the count, s"), spread(report["count_age_seconds"])),
        (words("错误", "errors"), str(report["errors"] or words("无", "none"))),
        (
            words("精确快照 · 静止时 · 不符", "exact snapshots · at rest · outside"),
            f"{audited['exact']} · {audited['at_rest']} · {len(audited['outside'])}",
        ),
        (words("模拟成员所用 CPU", "CPU of the members"), used),
        (words("报告", "report"), str(kept)),
    ]


def spread(values: dict[str, Any]) -> str:
    """A distribution in a line."""
    return " · ".join(f"{name} {value}" for name, value in values.items())
