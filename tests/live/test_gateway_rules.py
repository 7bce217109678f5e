"""Admission and the wheel: pure, without servers."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.home import rehearsed
from service.live.admission import Policy, read_policies
from service.live.wheel import Wheel

POLICY = Policy(grace=10, opens=100.0, closes=200.0, rostered=True, invited=("1.2", "3"))


def test_the_window_is_half_open() -> None:
    assert [POLICY.refusal("3", now) for now in (99.9, 100.0, 199.9, 200.0)] == [
        "stream_not_open",
        None,
        None,
        "stream_closed",
    ]


def test_a_subtree_is_a_path_not_a_prefix_of_digits() -> None:
    assert [POLICY.invites(path) for path in ("1.2", "1.2.9", "1.20", "1", "3.4", "33")] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_open_activities_and_such_without_invitations_are_for_everybody() -> None:
    rows: list[tuple[object, ...]] = [
        (1, 10, 0.0, 1.0, "open", ["7"], 1, False, 1, 1, None),
        (2, 10, 0.0, 1.0, "rostered", [], 1, False, 1, 1, None),
        (3, 10, 0.0, 1.0, "rostered", ["7"], 4, False, 1, 1, None),
    ]
    policies = read_policies(rows)
    assert [policies[stream].invites("8") for stream in (1, 2, 3)] == [True, True, False]


def test_synthetic_members_come_to_rehearsals_only_and_real_ones_to_none() -> None:
    rehearsal = replace(POLICY, rehearsal=True)
    assert [policy.invites(path) for policy in (POLICY, rehearsal) for path in ("1.2", rehearsed("1.2"))] == [
        True,
        False,
        False,
        True,
    ]
    assert not rehearsal.invites(rehearsed("1.20"))
    assert not replace(POLICY, rostered=False).invites(rehearsed("8"))


@given(st.lists(st.integers(-2, 40), max_size=30), st.integers(0, 5))
def test_every_entry_comes_out_once_at_its_tick(delays: list[int], head_start: int) -> None:
    wheel: Wheel[int] = Wheel()
    for _ in range(head_start):
        wheel.advance()
    due = {index: wheel.add(index, delay) for index, delay in enumerate(delays)}
    assert sorted(wheel) == list(range(len(delays)))
    out = {entry: wheel.now for _ in range(41) for entry in wheel.advance()}
    assert out == due
    assert due == {index: head_start + max(delay, 1) for index, delay in enumerate(delays)}
    assert list(wheel) == []
