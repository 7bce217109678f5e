"""`make bench`: measure every row, print the table, write docs/benchmarks.md and docs/benchmarks.json."""

import os
import sys
import time

from bench import figures, joins
from bench.stage import open_stage

ROWS = (joins.measure,)


def say(line: str) -> None:
    """Tell how far it is; the table alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Everything, in one run."""
    begin = time.monotonic()
    measured: list[figures.Figure] = []
    notes = [f"Load average of the machine when the run began: {os.getloadavg()[0]:.1f}.", ""]
    with open_stage() as stage:
        for measure in ROWS:
            found, more = measure(stage, say)
            measured += found
            notes += more
    figures.write(measured, notes)
    print(figures.table(measured))
    print("\n".join(["", *notes]))
    say(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
