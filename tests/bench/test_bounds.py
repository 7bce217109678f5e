"""What the members counted themselves bounds every figure that is called exact."""

import pytest

from service.live.rehearsal import Counted, Shown, outside

# Said in three rounds: ten inside; five more ask; fifteen inside.
SAID = [Counted(0.0, 0.2, 10, 10), Counted(1.0, 1.2, 10, 15), Counted(2.0, 2.2, 15, 15)]


def shown(at: float, online: int | None, *, exact: bool = True) -> Shown:
    return Shown(heard=at + 0.1, as_of=at, online=online, connections=online, exact=exact)


@pytest.mark.parametrize(
    ("at", "online", "wrong"),
    [
        (0.5, 10, False),
        (0.5, 15, False),  # the five may have been counted before they were said to ask
        (0.5, 9, True),
        (0.5, 16, True),
        (1.3, 10, False),
        (1.3, 9, True),
        (1.5, 12, False),
        (1.5, 9, True),
        (0.1, 99, False),  # before everything was said: no bound
        (2.1, 99, False),  # after it
    ],
)
def test_only_what_the_members_contradict_is_outside(at: float, online: int, wrong: bool) -> None:
    assert bool(outside([shown(at, online)], SAID)) is wrong


def test_a_degraded_figure_promises_nothing() -> None:
    assert outside([shown(0.5, 99, exact=False), shown(0.6, None)], SAID) == []


def test_the_order_in_which_snapshots_came_does_not_matter() -> None:
    late, early = shown(1.5, 99), shown(0.5, 98)
    assert [one for one, _, _ in outside([late, early], SAID)] == [early, late]
