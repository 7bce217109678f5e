"""The courier: carries what is due to its receivers, many at a time, as a task of `chunshui worker`.

Any number may work at once. A receiver that is slow or broken is given fewer and fewer places, so that it cannot
take them from the others. When the worker stops, what was not finished is given back.
"""

import asyncio
import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
import uvloop
from flask import Flask, current_app

from service.clock import now as read_clock
from service.config import Config
from service.extensions import db
from service.notify import deliveries, endpoints, outbox
from service.notify.channels.webhook import Message, Outcome, Sender
from service.notify.deliveries import Claim, Verdict
from service.notify.endpoints import Address

T = TypeVar("T")
log = structlog.get_logger(__name__)

# A claim outlives its attempt by this much: time to write down what came of it.
LEASE_MARGIN_SECONDS = 15.0
BUSY_PAUSE_SECONDS = 0.01
IDLE_PAUSE_SECONDS = 0.25
LAST_ATTEMPTS_SECONDS = 2.0


class Places:
    """How many deliveries each endpoint may have under way: one more after a success, half after a failure."""

    def __init__(self, *, each: int) -> None:
        self._each = each
        self._limits: dict[int, int] = {}
        self.taken: Counter[int] = Counter()

    def free(self, endpoint: int) -> int:
        """How many more may start now."""
        return max(0, self._limits.get(endpoint, self._each) - self.taken[endpoint])

    def learn(self, endpoint: int, *, success: bool) -> None:
        """Adapt to what came of an attempt."""
        limit = self._limits.get(endpoint, self._each)
        grown = limit + 1 if success else max(1, limit // 2)
        if grown >= self._each:
            self._limits.pop(endpoint, None)
        else:
            self._limits[endpoint] = grown

    def share(self, waiting: list[int], room: int) -> dict[int, int]:
        """Divide `room` among the `waiting` endpoints so that, with what they hold already, they have alike."""
        shares: dict[int, int] = {}
        hungry = [endpoint for endpoint in waiting if self.free(endpoint)]
        # Where there is less room than endpoints, chance decides who goes first, not the order of their ids.
        random.shuffle(hungry)
        held = sum(self.taken[endpoint] for endpoint in hungry)
        fair = math.ceil((room + held) / max(1, len(hungry)))
        for endpoint in hungry:
            wanted = fair - self.taken[endpoint]
            given = min(wanted, self.free(endpoint), room - sum(shares.values()))
            if given > 0:
                shares[endpoint] = given
        return shares


class Courier:
    """A task that fans out, claims and delivers until nothing is due; keeps connections between its turns."""

    def __init__(self, *, capacity: int = 128, each: int = 64) -> None:
        self.capacity = capacity
        self._places = Places(each=each)
        self._under_way: dict[asyncio.Task[None], Claim] = {}
        self._verdicts: list[Verdict] = []
        self._runner: asyncio.Runner | None = None
        self._sender: Sender | None = None

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
            self._runner, self._sender = None, None

    async def _hang_up(self) -> None:
        if self._sender is not None:
            self._sender.close()
        await asyncio.sleep(0)

    async def _turn(self, app: Flask) -> None:
        config: Config = app.config["CHUNSHUI"]
        sender = self._open(config)
        stopping: threading.Event = app.extensions.get("stopping") or threading.Event()
        try:
            while not stopping.is_set():
                taken, settled = await self._in_database(app, self._exchange)
                for claim, address in taken:
                    self._start(claim, address=address, sender=sender, config=config)
                if not self._under_way and not self._verdicts and not taken and not settled:
                    return
                await asyncio.sleep(BUSY_PAUSE_SECONDS if taken or settled else IDLE_PAUSE_SECONDS)
        finally:
            await self._finish(app)

    def _open(self, config: Config) -> Sender:
        if self._sender is None:
            self._sender = Sender(
                patience=config.webhook_timeout_seconds,
                most_idle=self.capacity,
                private=config.webhook_private_addresses,
            )
        return self._sender

    async def _in_database(self, app: Flask, work: Callable[[], T]) -> T:
        """`work` in a thread with an application context, so that a slow database never delays the sending."""

        def within() -> T:
            with app.app_context():
                return work()

        return await asyncio.to_thread(within)

    def _exchange(self) -> tuple[list[tuple[Claim, Address | None]], int]:
        """One visit to the database: write what came back, fan out, take what is due."""
        settled = self._settle()
        now = read_clock()
        config: Config = current_app.config["CHUNSHUI"]
        fanned = outbox.fan_out(now)
        room = self.capacity - len(self._under_way)
        shares = self._places.share(deliveries.waiting(now), room) if room else {}
        lease = config.webhook_timeout_seconds + LEASE_MARGIN_SECONDS
        claims = deliveries.claim(shares, now=now, lease_seconds=lease) if shares else []
        known = endpoints.addresses({claim.endpoint_id for claim in claims}, secrets=config.secrets)
        db.session.rollback()
        return [(claim, known.get(claim.endpoint_id)) for claim in claims], settled + fanned

    def _settle(self) -> int:
        verdicts = self._verdicts[:]
        deliveries.settle(verdicts)
        # Only now: a settling that failed is repeated at the next visit.
        del self._verdicts[: len(verdicts)]
        return len(verdicts)

    def _start(self, claim: Claim, *, address: Address | None, sender: Sender, config: Config) -> None:
        attempt = self._attempt(claim, address=address, sender=sender, config=config)
        task = asyncio.get_running_loop().create_task(attempt)
        self._under_way[task] = claim
        self._places.taken[claim.endpoint_id] += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        claim = self._under_way.pop(task, None)
        if claim is not None:
            self._places.taken[claim.endpoint_id] -= 1
        if not task.cancelled() and task.exception() is not None:
            log.error("delivery crashed", exc_info=task.exception())

    async def _attempt(self, claim: Claim, *, address: Address | None, sender: Sender, config: Config) -> None:
        outcome = Outcome(error="secret")
        if address is not None:
            outcome = await sender.send(_message(claim, address), read_clock())
        verdict = deliveries.judge(claim, outcome, now=read_clock(), first_pause=config.webhook_retry_seconds)
        self._places.learn(claim.endpoint_id, success=outcome.error is None)
        self._verdicts.append(verdict)
        if outcome.error is not None:
            log.info("delivery failed", **_facts(verdict))

    async def _finish(self, app: Flask) -> None:
        """Let what is under way end, but not for long; write down what did and give the rest back."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_ATTEMPTS_SECONDS)
        abandoned = dict(self._under_way)
        for task in abandoned:
            task.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
        if abandoned or self._verdicts:
            await self._in_database(app, lambda: self._hand_back(list(abandoned.values())))

    def _hand_back(self, claims: list[Claim]) -> None:
        self._settle()
        deliveries.release(claims)


def keep_house(app: Flask) -> None:
    """A task for every minute: give up and forget what is old, seal with the current key what another sealed."""
    deliveries.expire(read_clock())
    while deliveries.prune(read_clock()):
        pass
    endpoints.reseal(app.config["CHUNSHUI"].secrets)


def _message(claim: Claim, address: Address) -> Message:
    return Message(
        id=claim.message_id,
        topic=claim.topic,
        happened_at=claim.happened_at,
        payload=claim.payload,
        subject_member=claim.subject_member,
        url=address.url,
        secret=address.secret,
        subject_key=address.subject_key,
    )


def _facts(verdict: Verdict) -> dict[str, Any]:
    """What the log may know of a failure: no address, for it may carry a secret."""
    return {
        "endpoint": verdict.claim.endpoint_id,
        "delivery": verdict.claim.id,
        "attempt": verdict.claim.attempts,
        "status": verdict.outcome.status,
        "error": verdict.outcome.error,
        "state": verdict.state,
    }
