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
    ours_at_least: float | None = None

    def met(self, ours: float, ratio: float | None) -> bool:
        """Whether every bound holds."""
        return (
            (self.at_least is None or (ratio is not None and ratio >= self.at_least))
            and (self.at_most is None or (ratio is not None and ratio <= self.at_most))
            and (self.ours_at_most is None or ours <= self.ours_at_most)
            and (self.ours_at_least is None or ours >= self.ours_at_least)
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


def alone(key: str, *, ours: float, unit: str, goal: Goal, digits: int = 2) -> Figure:
    """Our value where there is no peer."""
    return Figure(
        key=key,
        ours=round(ours, digits),
        unit=unit,
        goal=goal.text,
        met=goal.met(ours, None),
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
    return (f"`{figure.key}`", _number(figure.ours, 0 if figure.ours >= 100 else 2), figure.unit, *values)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def write(command: str, figures: Sequence[Figure], notes: Sequence[str], folder: Path = DOCS) -> None:
    """Keep what `command` printed in benchmarks.md and benchmarks.json, in place of what it printed last time."""
    page, rows = folder / "benchmarks.md", folder / "benchmarks.json"
    kept = sections(page.read_text() if page.exists() else "")
    kept[command] = (
        f"Printed on {figures[0].date}; machine: {figures[0].machine}.\n\n{table(figures)}\n\n"
        + "\n".join(notes).strip()
        + "\n"
    )
    body = "\n".join(f"## {name}\n\n{text}" for name, text in sorted(kept.items()))
    page.write_text(f"# Benchmarks\n\nEach part is what one command printed.\n\n{body}")
    fresh = {figure.key for figure in figures}
    old = [row for row in (json.loads(rows.read_text()) if rows.exists() else []) if row["key"] not in fresh]
    rows.write_text(json.dumps([*old, *map(asdict, figures)], indent=2, ensure_ascii=False) + "\n")


def sections(page: str) -> dict[str, str]:
    """The parts of benchmarks.md by the command that printed them."""
    parts = page.split("\n## ")[1:]
    return {name: text.strip() + "\n" for name, text in (part.split("\n\n", 1) for part in parts)}
