"""A figure says itself whether its goal is met."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.figures import Figure, Goal, against, alone, machine, table, write

SMALL = Goal("≤ 1/5, and ≤ 3 KB", at_most=0.2, ours_at_most=3072)


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [(2_000, 16_000, True), (3_100, 16_000, False), (2_000, 9_000, False)],
)
def test_every_bound_of_a_goal_must_hold(ours: float, peer: float, met: bool) -> None:
    figure = against("connection_memory", ours=ours, unit="bytes", peer="Node", peer_value=peer, goal=SMALL)
    assert figure.met is met
    assert figure.ratio == round(ours / peer, 3)


@pytest.mark.parametrize(("ours", "met"), [(5_000, True), (4_999, False)])
def test_a_lower_bound(ours: float, met: bool) -> None:
    goal = Goal("≥ 5×", at_least=5)
    assert against("joins", ours=ours, unit="x", peer="Node", peer_value=1_000, goal=goal).met is met


def test_without_a_goal_nothing_is_met_or_missed() -> None:
    assert against("joins", ours=1, unit="x", peer="Node", peer_value=2).met is None


def test_the_files_hold_what_was_printed(tmp_path: Path) -> None:
    figures = [against("joins", ours=1_234.56, unit="x", peer="Node", peer_value=100, goal=Goal("≥ 5×", at_least=5))]
    write("make bench", figures, ["a note"], tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert table(figures) in page
    assert "| `joins` | 1,235 | x | Node | 100 | 12.346 | ≥ 5× | yes |" in page
    assert "a note" in page
    [row] = json.loads((tmp_path / "benchmarks.json").read_text())
    assert Figure(**row) == figures[0]
    promised = {"key", "ours", "unit", "peer", "peer_value", "ratio", "goal", "met", "machine", "date"}
    assert set(asdict(figures[0])) == promised


def test_each_command_replaces_only_what_it_printed_before(tmp_path: Path) -> None:
    def one(key: str, value: float) -> Figure:
        return alone(key, ours=value, unit="s", goal=Goal("≤ 60 s", ours_at_most=60.0))

    write("make bench", [one("a", 1.0)], ["first"], tmp_path)
    write("make bench-150k", [one("b", 70.0)], ["the day"], tmp_path)
    write("make bench", [one("a", 2.0)], ["second"], tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## make bench", "## make bench-150k"]
    assert "the day" in page
    assert "second" in page
    assert "first" not in page
    rows = json.loads((tmp_path / "benchmarks.json").read_text())
    assert {row["key"]: (row["ours"], row["met"]) for row in rows} == {"a": (2.0, True), "b": (70.0, False)}


def test_the_machine_is_described_without_its_name() -> None:
    cores, _, rest = machine().partition("-core ")
    assert cores.isdigit()
    assert rest.endswith(" GiB")
    assert Path("/proc/sys/kernel/hostname").read_text().strip() not in machine()
