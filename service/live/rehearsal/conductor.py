"""Runs a rehearsal: starts the generator processes, leads them through the phases, adds up what they counted."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from service.live.rehearsal.plan import Plan, Progress, Result, Tally, percentiles

# A process may hold 20,000 descriptors at most; members who return leave theirs behind for a moment.
MEMBERS_PER_PROCESS = 17_000
PAUSE_SECONDS = 0.01
ROOT = Path(__file__).resolve().parents[3]


class GeneratorError(RuntimeError):
    """A generator process ended before its members had left."""


class Process:
    """One generator process and the last thing that it said."""

    def __init__(self, plan: Plan, index: int, said: "queue.Queue[None]") -> None:
        self.phase = "arriving"
        self.at = 0.0
        self.tally = Tally()
        self.count: dict[str, Any] = {}
        self._said = said
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.live.rehearsal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            start_new_session=True,  # Ctrl-C is ours: the members are to leave, not to vanish
        )
        self._orders = cast(IO[str], self._process.stdin)
        self.tell(json.dumps({"index": index, "plan": plan.to_json()}))
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def tell(self, word: str) -> None:
        """Say one line to the process; quiet when it has gone."""
        try:
            self._orders.write(word + "\n")
            self._orders.flush()
        except BrokenPipeError:
            self.phase = self.phase if self.phase == "gone" else "failed"

    def close(self) -> None:
        """End the process, by its own will when it still has one."""
        try:
            self._orders.close()
            self._process.wait(5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()
        self._ear.join()

    def _listen(self) -> None:
        with cast(IO[str], self._process.stdout) as lines:
            self._hear_all(lines)
        if self.phase != "gone":
            self.phase = "failed"
        self._said.put(None)

    def _hear_all(self, lines: IO[str]) -> None:
        for line in lines:
            said = json.loads(line)
            self.at = said["at"]
            self.tally, self.count = Tally.from_dict(said["tally"]), said["count"]
            self.phase = said["phase"]
            self._said.put(None)


class Rehearsal:
    """The generator processes of one plan, and what came out so far."""

    def __init__(self, plan: Plan, report: Callable[[Progress], None]) -> None:
        self.plan = plan
        self._report = report
        self._said: queue.Queue[None] = queue.Queue()
        self._begin = time.monotonic()
        self._peak = 0
        self._online: list[tuple[float, int]] = []
        devices = round(len(plan.members) * (1 + plan.second_device_share))
        number = max(1, -(-devices // MEMBERS_PER_PROCESS))
        shares = [replace(plan, members=plan.members[index::number]) for index in range(number)]
        self._processes = [Process(share, index, self._said) for index, share in enumerate(shares)]

    def run(self, stop: threading.Event) -> Result:
        """Lead the phases to the end; `stop` or Ctrl-C has everybody leave at once."""
        try:
            self._lead(stop)
            return self._result()
        finally:
            for process in self._processes:
                process.close()

    def order(self, word: str) -> None:
        """Say `drop`, `listen`, `calm` or `stir` to every process."""
        for process in self._processes:
            process.tell(word)

    def _lead(self, stop: threading.Event) -> None:
        told: set[str] = set()
        while not self._all_in("gone"):
            try:
                self._hear()
            except KeyboardInterrupt:
                stop.set()
            if self._all_in("inside"):
                self._tell("plateau", told)
            if stop.is_set() or self._all_in("held"):
                self._tell("leave", told)

    def _hear(self) -> None:
        """Wait for the next word of any process and report the sum of all."""
        try:
            self._said.get(timeout=0.5)
        except queue.Empty:
            return
        # Adding up costs time for each process, and each of them may have spoken: once for all of them.
        time.sleep(PAUSE_SECONDS * len(self._processes))
        while not self._said.empty():
            self._said.get()
        if any(process.phase == "failed" for process in self._processes):
            raise GeneratorError("a generator process has ended early; its messages are above")
        tally, seconds = self._tally(), round(time.monotonic() - self._begin, 2)
        self._note(seconds, tally.online)
        heard = max((process.count for process in self._processes), key=lambda count: str(count.get("as_of", "")))
        phase = min((process.phase for process in self._processes), key=PHASES.index)
        times = [process.at for process in self._processes]
        self._report(Progress(phase, seconds, tally, heard.get("count"), heard.get("basis"), min(times), max(times)))

    def _note(self, seconds: float, online: int) -> None:
        """Keep the peak of all reports, and a point a second."""
        self._peak = max(self._peak, online)
        if not self._online or seconds - self._online[-1][0] >= 1.0:
            self._online.append((seconds, online))

    def _tell(self, word: str, told: set[str]) -> None:
        if word not in told:
            told.add(word)
            self.order(word)

    def _all_in(self, phase: str) -> bool:
        return all(process.phase == phase for process in self._processes)

    def _tally(self) -> Tally:
        return sum((process.tally for process in self._processes[1:]), self._processes[0].tally)

    def _result(self) -> Result:
        tally = self._tally()
        return Result(
            members=len(self.plan.members),
            devices=tally.devices,
            logged_in=tally.logged_in,
            joined=tally.joined,
            stays=tally.stays,
            repeats=tally.repeats,
            peak=self._peak,
            online_at_end=tally.online,
            checked_in=tally.checked_in,
            check_in_repeats=tally.check_in_repeats,
            watch_seconds=round(tally.watch_seconds, 3),
            watch_seconds_asked=round(tally.watch_seconds_asked, 3),
            dropped=tally.dropped,
            left=tally.left,
            lost=tally.lost,
            in_doubt=tally.in_doubt,
            failed=tally.failed,
            counts_heard=tally.counts_heard,
            join_ms=percentiles(tally.latency_ms),
            errors=dict(sorted(tally.errors.items())),
            generators=len(self._processes),
            generator_cpu_seconds=round(tally.cpu_seconds, 2),
            seconds=round(time.monotonic() - self._begin, 2),
            online=self._online,
        )


PHASES = ("failed", "arriving", "inside", "plateau", "staying", "held", "leaving", "gone")


def run(plan: Plan, report: Callable[[Progress], None], stop: threading.Event | None = None) -> Result:
    """Rehearse: returns when every member has left. Ctrl-C or `stop` has them leave early, not vanish."""
    return Rehearsal(plan, report).run(stop or threading.Event())
