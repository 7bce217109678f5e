"""`make bench` and its longer siblings: measure, print the table, keep it in docs/benchmarks.md and .json."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from bench import (
    burst,
    checkins,
    cold,
    day,
    deliveries,
    density,
    fanout,
    figures,
    joins,
    million,
    recovery,
    roster,
    soak,
    tls,
    tree,
)
from bench.figures import Figure
from bench.stage import Stage, open_stage

REGISTERS = (tree.measure, roster.measure)
ROWS = (
    joins.measure,
    tls.measure,
    density.measure,
    fanout.measure,
    recovery.measure,
    cold.measure,
    deliveries.measure,
    *REGISTERS,
    checkins.measure,
)

Measured = tuple[list[Figure], list[str]]


def say(line: str) -> None:
    """Tell how far it is; the table alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def rows(_: int) -> Measured:
    """Every row of `make bench`, in one run."""
    return one_after_another(ROWS)


def registers(_: int) -> Measured:
    """The organisation tree and the roster at full size, without the other rows."""
    return one_after_another(REGISTERS)


def one_after_another(measures: Sequence[Callable[[Stage, Callable[[str], None]], Measured]]) -> Measured:
    """Several measurements on one stage."""
    measured: list[Figure] = []
    notes: list[str] = []
    with open_stage() as stage:
        for measure in measures:
            found, more = measure(stage, say)
            measured += found
            notes += [*more, ""]
    return measured, notes


def all_check_ins(members: int) -> Measured:
    """Check-ins, with everybody's over sockets at once."""
    found, notes = one_after_another([checkins.measure]) if members == burst.FULL_SIZE else ([], [])
    more, lines = burst.hold(members, say)
    return found + more, [*notes, *lines]


def whole_day(members: int) -> Measured:
    """The founding day."""
    return day.hold(members, say)


def long_soak(members: int) -> Measured:
    """Ten minutes of coming and going."""
    return soak.hold(members, say)


def hold_many(members: int) -> Measured:
    """As many members as possible."""
    return million.hold(members, say)


def many_deliveries(number: int) -> Measured:
    """Deliveries a second, and a run of them with faults."""
    found, notes = one_after_another([deliveries.measure])
    faulty, more = deliveries.hold(number, say)
    return [*found, *faulty], [*notes, *more]


COMMANDS: dict[str, tuple[Callable[[int], Measured], str, int]] = {
    "rows": (rows, "make bench", 0),
    "registers": (registers, "make bench-registers", 0),
    "checkins": (all_check_ins, "make bench-checkins", burst.FULL_SIZE),
    "day": (whole_day, "make bench-150k", day.FULL_SIZE),
    "soak": (long_soak, "make soak", soak.FULL_SIZE),
    "deliveries": (many_deliveries, "make bench-deliveries", deliveries.FULL_SIZE),
    "million": (hold_many, "make bench-1m", million.FULL_SIZE),
}


def main() -> None:
    """One command; only a run at full size is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="rows")
    parser.add_argument("--members", type=int, help="another size than the full one; nothing is written then")
    wanted = parser.parse_args()
    measure, name, full_size = COMMANDS[wanted.command]
    members = wanted.members or full_size
    begin, load = time.monotonic(), os.getloadavg()[0]
    found, notes = measure(members)
    loads = f"{load:.1f} when the run began, {os.getloadavg()[0]:.1f} at its end"
    notes = [f"Load average of the machine: {loads}.", "", *notes]
    if members == full_size:
        figures.write(name, found, notes)
    print(figures.table(found))
    print("\n".join(["", *notes]))
    say(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
