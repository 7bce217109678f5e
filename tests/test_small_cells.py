"""Laws of suppression, held against an attacker who knows every sum and every base, and reasons exactly."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.small_cells import THRESHOLD, Cell, shown

Tree = dict[str, Cell[str]]
Range = tuple[float, float]


@st.composite
def trees(draw: st.DrawFn, based: bool | None = None) -> Tree:
    """A tree of up to three levels whose inner cells are the sums of those below; with bases or without."""
    with_bases = draw(st.booleans()) if based is None else based
    counts = st.one_of(st.integers(0, 12), st.integers(0, 60))
    cells: Tree = {}

    def grow(name: str, parent: str | None, depth: int) -> tuple[int, int]:
        parts = draw(st.integers(1, 4)) if depth == 0 else draw(st.integers(0, 4)) if depth < 3 else 0
        if parts:
            below = [grow(f"{name}.{part}", name, depth + 1) for part in range(parts)]
            count, base = sum(one[0] for one in below), sum(one[1] for one in below)
        else:
            count = draw(counts)
            base = count + draw(counts)
        cells[name] = Cell(count, parent, base if with_bases else None)
        return count, base

    grow("0", None, 0)
    return cells


def ranges(cells: Tree, told: Mapping[str, int | None]) -> dict[str, Range]:
    """What each cell can be, for somebody who knows what is shown, all bases, and that parts add up to their whole.

    In a tree of sums bounds that are carried up and down until they rest are exact.
    """
    found: dict[str, Range] = {
        key: (0, math.inf if cell.of is None else cell.of) if (value := told[key]) is None else (value, value)
        for key, cell in cells.items()
    }
    while True:
        before = dict(found)
        for whole in cells:
            parts = [key for key, cell in cells.items() if cell.parent == whole]
            if parts:
                narrow(found, whole, parts)
        if found == before:
            return found


def narrow(found: dict[str, Range], whole: str, parts: list[str]) -> None:
    low, high = (sum(found[part][side] for part in parts) for side in (0, 1))
    found[whole] = max(found[whole][0], low), min(found[whole][1], high)
    for part in parts:
        others = [found[one] for one in parts if one != part]
        least = found[whole][0] - sum(one[1] for one in others)
        most = found[whole][1] - sum(one[0] for one in others)
        found[part] = max(found[part][0], least), min(found[part][1], most)


@given(trees())
def test_what_is_shown_is_true(cells: Tree) -> None:
    assert all(value in (None, cells[key].count) for key, value in shown(cells).items())


@given(trees())
def test_no_small_cell_and_no_small_rest_is_shown(cells: Tree) -> None:
    for key, value in shown(cells).items():
        if value is not None:
            assert value == 0 or value >= THRESHOLD
            base = cells[key].of
            assert base is None or THRESHOLD <= value <= base - THRESHOLD


@given(trees())
def test_no_hidden_cell_can_be_derived(cells: Tree) -> None:
    """Not from totals, complements or siblings: each hidden cell can be at least two things."""
    told = shown(cells)
    known = ranges(cells, told)
    for key, value in told.items():
        if value is None:
            low, high = known[key]
            assert low <= cells[key].count <= high
            assert low < high or cells[key].of == 0, key


# A sum that is hidden with what it is made of, and that its own whole must not give away more closely than that.
@example({
    "0": Cell(10, None, 21), "0.0": Cell(10, "0", 21), "0.0.0": Cell(0, "0.0", 1), "0.0.1": Cell(10, "0.0", 20),
    "0.0.1.0": Cell(1, "0.0.1", 1), "0.0.1.1": Cell(9, "0.0.1", 19),
})  # fmt: skip
@given(trees())
def test_a_small_cell_can_be_anything(cells: Tree) -> None:
    """The range that is left for a small one is as wide as the threshold, or all that it could ever have been."""
    told = shown(cells)
    known = ranges(cells, told)
    for key, cell in cells.items():
        if cell.small(THRESHOLD):
            low, high = known[key]
            assert high - low >= min(THRESHOLD, math.inf if cell.of is None else cell.of), key


@given(trees())
def test_below_a_hidden_cell_nothing_is_shown(cells: Tree) -> None:
    told = shown(cells)
    assert all(told[key] is None for key, cell in cells.items() if cell.parent and told[cell.parent] is None)


@given(trees(), st.randoms())
def test_the_order_of_cells_does_not_matter(cells: Tree, random: object) -> None:
    keys = list(cells)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert shown({key: cells[key] for key in keys}) == shown(cells)


@given(st.lists(st.integers(THRESHOLD, 10**6), min_size=1, max_size=8))
def test_where_nothing_is_small_everything_is_shown(counts: list[int]) -> None:
    cells: Tree = {"": Cell(sum(counts))} | {str(n): Cell(count, "") for n, count in enumerate(counts)}
    assert shown(cells) == {key: cell.count for key, cell in cells.items()}


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([40, 3, 20], [40, None, None]),  # one alone would be the rest of the total
        ([40, 6, 7], [40, None, None]),  # thirteen in two
        ([40, 3, 4, 20], [40, None, None, None]),  # seven in two say too much of either
        ([40, 0, 20], [40, 0, 20]),  # nobody is nobody's secret
        ([3, 0], [None, None]),
    ],
)
def test_branches_below_a_shown_city(counts: list[int], told: list[int | None]) -> None:
    cells: Tree = {"": Cell(sum(counts))} | {str(n): Cell(count, "") for n, count in enumerate(counts)}
    result = shown(cells)
    assert [result[str(n)] for n in range(len(counts))] == told


@pytest.mark.parametrize("count", [30, 29, 21, 0, 9])
def test_a_rate_near_all_or_none_is_not_shown(count: int) -> None:
    """It would name the absentees, or tell that each came."""
    assert shown({"": Cell(count, of=30)}) == {"": None}
    assert shown({"": Cell(15, of=30)}) == {"": 15}
