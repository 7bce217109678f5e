"""A measured figure beside its goal, and the table and files that show it."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEADER = ("key", "ours", "unit", "peer", "its value", "ratio", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """What is aimed for: bounds of the ratio, and one of our own value; `text` says it to people."""

    text: str
    at_least: float | None = None
    at_most: float | None = None
    ours_at_most: float | None = None

    def met(self, ours: float, ratio: float | None) -> bool:
        """Whether every bound holds."""
        return (
            (self.at_least is None or (ratio is not None and ratio >= self.at_least))
            and (self.at_most is None or (ratio is not None and ratio <= self.at_most))
            and (self.ours_at_most is None or ours <= self.ours_at_most)
        )


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    key: str
    ours: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None
    machine: str = ""
    date: str = ""


def against(key: str, *, ours: float, unit: str, peer: str, peer_value: float, goal: Goal | None = None) -> Figure:
    """Our value beside a peer's of the same run; `ratio` is ours ÷ peer."""
    ratio = ours / peer_value
    return Figure(
        key=key,
        ours=round(ours, 1),
        unit=unit,
        peer=peer,
        peer_value=round(peer_value, 1),
        ratio=round(ratio, 3),
        goal=goal.text if goal else None,
        met=goal.met(ours, ratio) if goal else None,
        machine=machine(),
        date=datetime.now(UTC).date().isoformat(),
    )


def machine() -> str:
    """Cores, processor and memory, such as "2-core AMD EPYC, 24 GiB"."""
    model = next(
        (line.split(":", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    words = [word for word in model.split() if word not in ("Processor", "CPU")]
    return f"{len(os.sched_getaffinity(0))}-core {' '.join(words[:2])}, {round(pages / 2**30)} GiB"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [HEADER, ("---",) * len(HEADER), *(_cells(figure) for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(figure: Figure) -> tuple[str, ...]:
    met = {True: "yes", False: "**no**", None: ""}[figure.met]
    values = (figure.peer or "", _number(figure.peer_value), _number(figure.ratio, 3), figure.goal or "", met)
    return (f"`{figure.key}`", _number(figure.ours), figure.unit, *values)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def write(figures: Sequence[Figure], notes: Sequence[str], folder: Path = DOCS) -> None:
    """Write what was printed to benchmarks.md and benchmarks.json."""
    page = f"# Benchmarks\n\nPrinted by `make bench` on {figures[0].date}; machine: {figures[0].machine}.\n\n"
    page += table(figures) + "\n\n" + "\n".join(notes) + "\n"
    folder.joinpath("benchmarks.md").write_text(page)
    rows = [asdict(figure) for figure in figures]
    folder.joinpath("benchmarks.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
