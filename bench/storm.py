"""Everybody joins one server as fast as a window of joins under way allows, rests twice, and leaves."""

from collections.abc import Callable

from bench.servers import Running
from bench.stage import Stage, candidates
from service.live.rehearsal import Plan, Progress, Result, run

WARM_UP = 500
WINDOW = 200


def storm(
    running: Running,
    stage: Stage,
    *,
    members: int,
    rest: float,
    report: Callable[[Progress], None],
    first: int = 1,
    leave_acknowledged: bool = True,
) -> Result:
    """Lead `members` through it, with `rest` seconds before and after the plateau; nobody may be missing."""
    plan = Plan(
        gateway_url=running.url,
        stream=stage.stream,
        members=candidates(members, first=first),
        curve="burst",
        arrival_seconds=0.0,
        plateau_seconds=0.0,
        quiet_seconds=rest,
        leave_seconds=1.0,
        leave_acknowledged=leave_acknowledged,
        churn_per_minute=0.0,
        repeat_share=0.0,
        check_in_share=0.0,
        window=WINDOW,
    )
    result = run(plan, report)
    if result.joined != members or result.errors:
        raise RuntimeError(f"{running.server.name}: {result.joined} of {members} joined, {result.errors}")
    return result


def warm_up(running: Running, stage: Stage) -> None:
    """A few members join and leave, numbers 1 to WARM_UP."""
    storm(running, stage, members=WARM_UP, rest=0.1, report=lambda _: None)
