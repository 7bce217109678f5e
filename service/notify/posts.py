"""What the courier carries: one post for each queue. A post takes what is due, and writes down what came of it."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from flask import Flask, current_app

from service.clock import now as read_clock
from service.config import Config
from service.extensions import db
from service.notify import deliveries, endpoints, outbox
from service.notify.channels.sends import alarm
from service.notify.channels.webhook import Message, Sender
from service.notify.deliveries import Claim
from service.notify.endpoints import Address
from service.notify.places import Places
from service.notify.queue import Lane, Verdict, judge

log = structlog.get_logger(__name__)

# A claim outlives its attempt by this much: time to write down what came of it.
LEASE_MARGIN_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """Claims of one lane to be attempted together; `attempt` says whether the receiver was well."""

    lane: Lane
    claims: Sequence[Any]
    attempt: Callable[[], Coroutine[Any, Any, bool]]


class Post(Protocol):
    """One queue's deliveries. `take`, `settle` and `release` run in a thread, in an application's context."""

    @property
    def places(self) -> Places[Any]: ...
    def open(self, app: Flask) -> None:
        """Within the loop, before anything is sent; may be repeated."""

    def close(self) -> None:
        """Close connections."""

    def take(self, room: int) -> tuple[list[Job], int]:
        """What is to be done now, up to `room` claims, and how much else was moved on."""
        ...

    def unwritten(self) -> bool:
        """Whether attempts ended that have not been written down yet."""
        ...

    def settle(self) -> int:
        """Write what came of attempts since; how many."""
        ...

    def release(self, jobs: Sequence[Job]) -> None:
        """Give back what was not attempted to its end."""


class Webhooks:
    """Events on their way to endpoints."""

    def __init__(self, *, capacity: int, each: int) -> None:
        self.places: Places[int] = Places(each=each, capacity=capacity)
        self._sender: Sender | None = None
        self._verdicts: list[Verdict[Claim]] = []

    def open(self, app: Flask) -> None:
        """Within the loop, before anything is sent; may be repeated."""
        config: Config = app.config["CHUNSHUI"]
        self._sender = self._sender or Sender(
            patience=config.webhook_timeout_seconds,
            most_idle=self.places.capacity,
            private=config.webhook_private_addresses,
        )

    def close(self) -> None:
        """Close connections."""
        if self._sender is not None:
            self._sender.close()
        self._sender = None

    def take(self, room: int) -> tuple[list[Job], int]:
        """Fan out, and take what is due."""
        now, config = read_clock(), current_app.config["CHUNSHUI"]
        fanned = outbox.fan_out(now)
        shares = self.places.share(deliveries.waiting(now), room) if room else {}
        lease = config.webhook_timeout_seconds + LEASE_MARGIN_SECONDS
        claims = deliveries.claim(shares, now=now, lease_seconds=lease) if shares else []
        known = endpoints.addresses({claim.endpoint_id for claim in claims}, secrets=config.secrets)
        db.session.rollback()
        return [self._job(claim, known.get(claim.endpoint_id), config) for claim in claims], fanned

    def unwritten(self) -> bool:
        """Whether attempts ended that have not been written down yet."""
        return bool(self._verdicts)

    def settle(self) -> int:
        """Write what came of attempts since; how many."""
        verdicts = self._verdicts[:]
        deliveries.settle(verdicts, read_clock())
        # Only now: a settling that failed is repeated at the next visit.
        del self._verdicts[: len(verdicts)]
        return len(verdicts)

    def release(self, jobs: Sequence[Job]) -> None:
        """Give back what was not attempted to its end."""
        deliveries.release([claim for job in jobs for claim in job.claims])

    def _job(self, claim: Claim, address: Address | None, config: Config) -> Job:
        async def attempt() -> bool:
            outcome = alarm("secret")
            if address is not None and self._sender is not None:
                outcome = await self._sender.send(_message(claim, address), read_clock())
            verdict = judge(claim, outcome, now=read_clock(), first_pause=config.webhook_retry_seconds)
            self._verdicts.append(verdict)
            if outcome.error is not None:
                log.info("delivery failed", **_facts(verdict))
            return outcome.error is None

        return Job(claim.endpoint_id, [claim], attempt)


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


def _facts(verdict: Verdict[Claim]) -> dict[str, Any]:
    """What the log may know of a failure: no address, for it may carry a secret."""
    return {
        "endpoint": verdict.claim.endpoint_id,
        "delivery": verdict.claim.id,
        "attempt": verdict.claim.attempts,
        "status": verdict.outcome.status,
        "error": verdict.outcome.error,
        "state": verdict.state,
    }
