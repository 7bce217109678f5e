"""`python -m tests.live.skewed SECONDS MODULE …`: runs a module whose wall clock is off; the monotonic one is right."""

import runpy
import sys
from datetime import timedelta

import time_machine


def main() -> None:
    """Shift the clock of this process and of those that it forks, then be the module."""
    _, seconds, module, *arguments = sys.argv
    time_machine.travel(timedelta(seconds=float(seconds)), tick=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
