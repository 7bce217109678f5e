"""A rehearsal against a real gateway: what the members counted is what the servers counted."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.live.rehearsal import Candidate, GeneratorError, Plan, Progress, Rehearsal, Result, run
from service.live.rehearsal import conductor as conducting
from tests.live.processes import Running, running
from tests.live.stage import Stage, token
from tests.waiting import eventually

MEMBERS = 60


@pytest.fixture(scope="module")
def gateway(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with two workers for all tests of this file."""
    with running(stage.config(), tmp_path_factory.mktemp("gateway"), workers=2) as found:
        yield found


def plan_for(gateway: Running, stream: int, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "gateway_url": f"http://127.0.0.1:{gateway.port}",
        "stream": stream,
        "members": tuple(Candidate(token=token(number + 1)) for number in range(MEMBERS)),
        "curve": "ramp",
        "arrival_seconds": 0.5,
        "plateau_seconds": 1.0,
        "leave_seconds": 0.2,
        "quiet_seconds": 0.5,
        "check_in_share": 0.0,
        "away_seconds": 1.0,
    }
    return Plan(**(values | changes))


def unheard(progress: Progress) -> None:
    """Nobody looks."""


def test_both_sides_count_the_same(stage: Stage, gateway: Running) -> None:
    stream, peaks = stage.stream(), set()

    def look(progress: Progress) -> None:
        if progress.phase == "plateau":
            peaks.add(stage.snapshot(stream).peak)

    plan = plan_for(gateway, stream, churn_per_minute=20.0, plateau_seconds=2.0, repeat_share=0.3)
    result = run(plan, look)
    eventually(lambda: stage.online(stream) == 0)
    eventually(lambda: sum(1 for row in stage.stays(stream) if row[3]) == result.stays)
    stays = stage.stays(stream)
    assert (result.joined, result.failed, result.online_at_end, result.errors) == (MEMBERS, 0, 0, {})
    assert result.repeats > 0
    assert result.dropped > 0
    assert len(stays) == result.stays > MEMBERS
    assert len({row[0] for row in stays}) == result.joined
    assert max(peaks) == result.peak == MEMBERS
    watched = sum(row[2] for row in stays)
    assert result.watch_seconds - 0.25 * len(stays) <= watched <= result.watch_seconds_asked + 0.25 * len(stays)


def test_members_of_several_processes_are_added_up(
    stage: Stage, gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "MEMBERS_PER_PROCESS", MEMBERS // 2)
    stream = stage.stream()
    result = run(plan_for(gateway, stream, plateau_seconds=0.0), unheard)
    assert (result.generators, result.members, result.joined, result.peak) == (2, MEMBERS, MEMBERS, MEMBERS)
    eventually(lambda: len(stage.stays(stream)) == result.stays == MEMBERS)


def test_a_member_at_two_devices_is_one_person(stage: Stage, gateway: Running) -> None:
    stream, seen = stage.stream(), set()

    def look(progress: Progress) -> None:
        if progress.phase == "plateau":
            seen.add((progress.tally.online, progress.tally.connections))

    plan = plan_for(gateway, stream, second_device_share=0.5, churn_per_minute=20.0, plateau_seconds=2.0)
    result = run(plan, look)
    eventually(lambda: len(stage.stays(stream)) == result.stays)
    assert (result.members, result.devices, result.joined, result.peak) == (MEMBERS, 90, MEMBERS, MEMBERS)
    assert (result.failed, result.online_at_end) == (0, 0)
    assert (MEMBERS, 90) in seen
    assert all(online <= connections for online, connections in seen)
    assert result.dropped > 0
    assert len({row[0] for row in stage.stays(stream)}) == MEMBERS


def test_told_to_stop_everybody_leaves_properly(stage: Stage, gateway: Running) -> None:
    stream, stop = stage.stream(grace=600), threading.Event()

    def stop_once_inside(progress: Progress) -> None:
        if progress.phase == "staying":
            stop.set()

    result = run(plan_for(gateway, stream, stay=True), stop_once_inside, stop)
    eventually(lambda: stage.online(stream) == 0, within=2.0)
    assert (result.joined, result.left, result.online_at_end) == (MEMBERS, MEMBERS, 0)


def test_ordered_to_drop_a_share_drops_and_comes_back(stage: Stage, gateway: Running) -> None:
    stream, stop = stage.stream(), threading.Event()
    seen: list[Progress] = []

    def order(progress: Progress) -> None:
        tally = progress.tally
        if progress.phase == "staying" and not seen:
            seen.append(progress)
            rehearsal.order("drop")
        elif tally.stays == MEMBERS + 6:
            stop.set()
        assert progress.oldest <= progress.newest

    plan = plan_for(gateway, stream, stay=True, churn_per_minute=0.0, drop_share=0.1)
    rehearsal = Rehearsal(plan, order)
    result = rehearsal.run(stop)
    assert (result.dropped, result.stays, result.online_at_end) == (6, MEMBERS + 6, 0)


def test_ctrl_c_has_them_leave_too(stage: Stage, gateway: Running) -> None:
    stream, pressed = stage.stream(grace=600), threading.Event()

    def press(progress: Progress) -> None:
        if progress.phase == "staying" and not pressed.is_set():
            pressed.set()
            raise KeyboardInterrupt

    result: Result = run(plan_for(gateway, stream, stay=True), press)
    eventually(lambda: stage.online(stream) == 0, within=2.0)
    assert result.left == MEMBERS


def test_who_loses_the_gateway_comes_back(stage: Stage, gateway: Running) -> None:
    stream, killed = stage.stream(), threading.Event()

    def kill_once(progress: Progress) -> None:
        if progress.phase == "plateau" and not killed.is_set():
            killed.set()
            for pid in gateway.workers():
                os.kill(pid, signal.SIGKILL)

    result = run(plan_for(gateway, stream, plateau_seconds=3.0), kill_once)
    assert (result.lost, result.joined, result.stays) == (MEMBERS, MEMBERS, 2 * MEMBERS)


def test_refusals_are_counted_by_code(stage: Stage, gateway: Running) -> None:
    bad = (Candidate(token="bad"), Candidate(token=token(1)))
    refused = run(plan_for(gateway, stage.stream(closes=-1), members=bad), unheard)
    assert (refused.joined, refused.failed) == (0, 2)
    assert refused.errors == {"stream_closed": 1, "token_invalid": 1}


def test_a_broken_generator_is_an_error_and_leaves_no_process(capfd: pytest.CaptureFixture[str]) -> None:
    plan = Plan(gateway_url="http://127.0.0.1:1", stream=1, members=(Candidate(token="t"),), curve="no such curve")
    with pytest.raises(GeneratorError):
        run(plan, unheard)
    assert "KeyError" in capfd.readouterr().err
