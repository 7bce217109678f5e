"""Laws of the arrival curves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live.rehearsal import CURVES, arrived

curves = st.sampled_from(sorted(CURVES))
members = st.integers(0, 1_000_000)
seconds = st.floats(0.1, 10_000)
shares = st.floats(0, 1)


@given(curves, members, seconds, shares, shares)
def test_nobody_goes_away_again(curve: str, members: int, seconds: float, one: float, other: float) -> None:
    earlier, later = sorted((one * seconds, other * seconds))
    before = arrived(curve, members=members, seconds=seconds, at=earlier)
    after = arrived(curve, members=members, seconds=seconds, at=later)
    assert 0 <= before <= after <= members


@given(curves, members, seconds)
def test_everybody_is_there_at_the_end_and_nobody_before_the_start(curve: str, members: int, seconds: float) -> None:
    assert arrived(curve, members=members, seconds=seconds, at=seconds) == members
    assert arrived(curve, members=members, seconds=seconds, at=-0.001) == 0


@given(curves, st.integers(1, 1_000_000), seconds)
def test_the_first_comes_at_once(curve: str, members: int, seconds: float) -> None:
    assert arrived(curve, members=members, seconds=seconds, at=seconds / 1000) >= 1


@given(curves, st.lists(st.integers(0, 10_000), min_size=1, max_size=8), seconds, shares)
def test_shares_of_several_processes_add_up(curve: str, parts: list[int], seconds: float, share: float) -> None:
    whole = arrived(curve, members=sum(parts), seconds=seconds, at=share * seconds)
    sum_of_parts = sum(arrived(curve, members=part, seconds=seconds, at=share * seconds) for part in parts)
    assert abs(sum_of_parts - whole) <= len(parts)


def test_most_of_the_founding_day_come_around_the_opening() -> None:
    early, late = (arrived("founding-day", members=10_000, seconds=100, at=at) for at in (30, 65))
    assert early < 2_000
    assert late > 8_000


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_curve_without_duration_is_a_burst(curve: str) -> None:
    assert arrived(curve, members=7, seconds=0, at=0) == 7
