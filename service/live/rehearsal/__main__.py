"""One generator process: members' shares of a rehearsal, told what to do line by line.

Standard input: first the plan (JSON, `index` beside it), then the words `plateau` and `leave`; its end means
`leave`. At the word `drop` the plan's share drops and comes back, at `listen` the members that a message reaches are
counted anew, between `calm` and `stir` nobody wanders off. Standard output: JSON lines, each
{"at", "phase", "count", "tally"}; the last one has the phase `gone`.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable

import uvloop

from service.live.rehearsal.crowd import Crowd
from service.live.rehearsal.member import Member
from service.live.rehearsal.phases import (
    arrive,
    check_everybody_in,
    churn,
    drop_some,
    everybody_back,
    finish,
    leave_all,
)
from service.live.rehearsal.phases import log_everybody_in as log_in
from service.live.rehearsal.plan import Plan

REPORT_SECONDS = 0.25


class Generator:
    """A crowd taken through its phases at the conductor's word."""

    def __init__(self, plan: Plan, index: int) -> None:
        self.plan = plan
        self.crowd = Crowd(plan, index=index)
        self.phase = "arriving"
        self.told = {"plateau": asyncio.Event(), "leave": asyncio.Event()}
        self.orders: dict[str, Callable[[], None]] = {word: event.set for word, event in self.told.items()}
        self.orders |= {"drop": lambda: drop_some(self.crowd), "listen": self.crowd.listen_anew}
        self.orders |= {"calm": lambda: self.crowd.hush(True), "stir": lambda: self.crowd.hush(False)}

    async def run(self) -> None:
        """Every phase, then the last report. Leaving cuts short whatever goes on."""
        reports = asyncio.create_task(self._report_regularly())
        staying = asyncio.create_task(self._stay())
        leaving = asyncio.create_task(self.told["leave"].wait())
        for awaited in ({staying, leaving, reports}, {leaving, reports}):
            ended, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # a broken phase ends the process, with its traceback
        self.phase = "leaving"
        await finish(self.crowd)
        staying.cancel()
        await leave_all(self.crowd, self.plan.leave_seconds)
        reports.cancel()
        self.phase = "gone"
        self.report()

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Hear the conductor's words until its end of the pipe closes."""
        while line := await reader.readline():
            self.orders[line.decode().strip()]()
        self.told["leave"].set()

    def report(self) -> None:
        """Print one line."""
        self.crowd.tally.cpu_seconds = time.process_time()
        self.crowd.under_way()
        tally = self.crowd.tally.to_dict()
        count = json.loads(self.crowd.last_count)[1] if self.crowd.last_count else {}
        sys.stdout.write(json.dumps({"at": time.time(), "phase": self.phase, "count": count, "tally": tally}) + "\n")
        sys.stdout.flush()

    async def _stay(self) -> None:
        ready: deque[Member] = deque()
        logging_in = asyncio.create_task(log_in(self.crowd, ready))
        await arrive(self.crowd, ready)
        await logging_in
        self.phase = "inside"
        await self.told["plateau"].wait()
        self.phase = "plateau"
        await asyncio.sleep(self.plan.quiet_seconds)
        await self._plateau()
        await everybody_back(self.crowd, 30.0)
        await asyncio.sleep(self.plan.quiet_seconds)
        self.phase = "held"

    async def _plateau(self) -> None:
        """Churn, and check-ins over the first three quarters; then on with the churn, when told to stay."""
        over = asyncio.Event()
        wandering = asyncio.create_task(churn(self.crowd, over))
        begin = self.crowd.clock()
        await check_everybody_in(self.crowd, self.plan.plateau_seconds * 0.75)
        if self.plan.stay:
            self.phase = "staying"
            await self.told["leave"].wait()
        await asyncio.sleep(max(0.0, begin + self.plan.plateau_seconds - self.crowd.clock()))
        over.set()
        await wandering

    async def _report_regularly(self) -> None:
        while True:
            self.report()
            self.crowd.sweep()
            await asyncio.sleep(REPORT_SECONDS)


async def main() -> None:
    """Read the plan, run it."""
    gc.set_threshold(100_000, 50, 100)  # members live as long as the process: there is little to collect
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 30)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order = json.loads(await reader.readline())
    generator = Generator(Plan.from_json(order["plan"]), order["index"])
    listening = asyncio.create_task(generator.listen(reader))
    await generator.run()
    listening.cancel()


if __name__ == "__main__":
    uvloop.run(main())
