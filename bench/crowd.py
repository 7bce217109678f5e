"""The members of a measurement, led through a day step by step.

They run in processes of their own; a thread here listens to them, so that the day itself can be written as one story.
"""

import threading
import time
from collections.abc import Callable

from service.live.rehearsal import Counted, Plan, Progress, Rehearsal, Result, Tally

POLL_SECONDS = 0.05


class Crowd:
    """A running rehearsal whose members stay until they are told to leave."""

    def __init__(self, plan: Plan, beat: Callable[[], None]) -> None:
        self.progress: Progress | None = None
        self.counted: list[Counted] = []
        self.first_asked = self.all_inside = 0.0
        self._beat = beat
        self._stop = threading.Event()
        self._results: list[Result] = []
        self._failures: list[BaseException] = []
        self._rehearsal = Rehearsal(plan, self._hear)
        self.first_asked = time.time()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def tally(self) -> Tally:
        """What the members counted so far."""
        return self.progress.tally if self.progress else Tally()

    def order(self, word: str) -> None:
        """Tell everybody `drop` or `listen`."""
        self._rehearsal.order(word)

    def until(self, holds: Callable[[], bool], *, within: float, what: str) -> float:
        """Wait for something, keeping the installation running; how long it took. RuntimeError if it does not come."""
        begin = time.monotonic()
        while not holds():
            if self._failures:
                raise self._failures[0]
            if time.monotonic() - begin > within:
                raise RuntimeError(f"not within {within:g} s: {what}; {self._where()}")
            self._beat()
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begin

    def _where(self) -> str:
        """How far everybody is, in a line."""
        tally = self.tally
        return (
            f"{tally.settled} of {tally.devices} have been inside, {tally.online} are, {tally.away} away,"
            f" {tally.asking} asking, {tally.failed} gave up, errors {dict(tally.errors) or 'none'}"
        )

    def staying(self) -> bool:
        """Whether everybody has been inside and waits for orders."""
        return self.progress is not None and self.progress.phase == "staying"

    def leave(self, within: float) -> Result:
        """Have everybody leave; what they counted."""
        self._stop.set()
        self.until(lambda: not self._thread.is_alive(), within=within, what="everybody leaves")
        if self._failures:
            raise self._failures[0]
        return self._results[0]

    def close(self) -> None:
        """End the members' processes, whatever has happened."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._results.append(self._rehearsal.run(self._stop))
        except BaseException as failure:  # told to whoever waits
            self._failures.append(failure)

    def _hear(self, progress: Progress) -> None:
        tally = progress.tally
        if not tally.settled and not tally.asking:
            self.first_asked = progress.newest
        if not self.all_inside and tally.settled == tally.devices:
            self.all_inside = progress.newest
        self.progress = progress
        if progress.oldest:
            self.counted.append(Counted.of(progress))
