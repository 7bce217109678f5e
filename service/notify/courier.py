"""The courier: carries what is due to its receivers, many at a time, as a task of `chunshui worker`.

Any number may work at once. A receiver that is slow or broken is given fewer and fewer places, so that it cannot
take them from the others. When the worker stops, what was not finished is given back.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
import uvloop
from flask import Flask

from service.clock import now as read_clock
from service.notify import deliveries, endpoints
from service.notify.notices import carrying
from service.notify.notices.posting import Notices
from service.notify.posts import Job, Post, Webhooks

T = TypeVar("T")
# Told how many claims were taken whose holder had not said what came of them.
Tell = Callable[[int], object]
log = structlog.get_logger(__name__)

BUSY_PAUSE_SECONDS = 0.01
IDLE_PAUSE_SECONDS = 0.25
LAST_ATTEMPTS_SECONDS = 2.0


def silent(_: int) -> None:
    """Nobody counts."""


class Courier:
    """A task that takes and delivers until nothing is due in any of its posts; keeps connections between its turns."""

    def __init__(
        self, *, capacity: int = 128, each: int = 64, notices: Notices | None = None, repeated: Tell = silent
    ) -> None:
        self._posts: list[Post] = [Webhooks(capacity=capacity, each=each), notices or Notices()]
        self._under_way: dict[asyncio.Task[bool], tuple[Post, Job]] = {}
        self._runner: asyncio.Runner | None = None
        self._repeated = repeated

    def __call__(self, app: Flask) -> None:
        """One turn: everything that is due now."""
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._turn(app))

    def close(self) -> None:
        """Close connections and loop."""
        if self._runner is not None:
            self._runner.run(self._hang_up())
            self._runner.close()
            self._runner = None

    async def _hang_up(self) -> None:
        for post in self._posts:
            post.close()
        await asyncio.sleep(0)

    async def _turn(self, app: Flask) -> None:
        for post in self._posts:
            post.open(app)
        stopping: threading.Event = app.extensions.get("stopping") or threading.Event()
        try:
            while not stopping.is_set():
                moved = 0
                for post in self._posts:
                    jobs, settled = await self._in_database(app, lambda post=post: self._visit(post))  # type: ignore[misc]
                    for job in jobs:
                        self._start(post, job)
                    moved += len(jobs) + settled
                # What ended during the visit may have left room for what could not be taken then.
                if not self._under_way and not moved and not any(post.unwritten() for post in self._posts):
                    return
                await asyncio.sleep(BUSY_PAUSE_SECONDS if moved else IDLE_PAUSE_SECONDS)
        finally:
            await self._finish(app)

    async def _in_database(self, app: Flask, work: Callable[[], T]) -> T:
        """`work` in a thread with an application context, so that a slow database never delays the sending."""

        def within() -> T:
            with app.app_context():
                return work()

        return await asyncio.to_thread(within)

    def _visit(self, post: Post) -> tuple[list[Job], int]:
        """One visit to the database: write what came back, and take what is due; what is to be done, and what moved."""
        settled = post.settle()
        held = sum(len(job.claims) for of, job in self._under_way.values() if of is post)
        jobs, moved = post.take(post.places.capacity - held)
        return jobs, settled + moved

    def _start(self, post: Post, job: Job) -> None:
        self._repeated(sum(claim.again for claim in job.claims))
        task = asyncio.get_running_loop().create_task(job.attempt())
        self._under_way[task] = (post, job)
        post.places.taken[job.lane] += len(job.claims)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[bool]) -> None:
        known = self._under_way.pop(task, None)
        if known is not None:
            post, job = known
            post.places.taken[job.lane] -= len(job.claims)
            if not task.cancelled() and task.exception() is None:
                post.places.learn(job.lane, success=task.result())
        if not task.cancelled() and task.exception() is not None:
            log.error("delivery crashed", exc_info=task.exception())

    async def _finish(self, app: Flask) -> None:
        """Let what is under way end, but not for long; write down what did and give the rest back."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_ATTEMPTS_SECONDS)
        abandoned = dict(self._under_way)
        for task in abandoned:
            task.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
        for post in self._posts:
            jobs = [job for of, job in abandoned.values() if of is post]
            await self._in_database(app, lambda post=post, jobs=jobs: self._hand_back(post, jobs))  # type: ignore[misc]

    def _hand_back(self, post: Post, jobs: list[Job]) -> None:
        post.settle()
        if jobs:
            post.release(jobs)


def keep_house(app: Flask) -> None:
    """A task for every minute: give up and forget what is old, seal with the current key what another sealed."""
    deliveries.expire(read_clock())
    deliveries.disable_failing(read_clock())
    carrying.expire(read_clock())
    while deliveries.prune(read_clock()):
        pass
    carrying.prune(read_clock())
    endpoints.reseal(app.config["CHUNSHUI"].secrets)
