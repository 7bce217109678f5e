"""Deliveries: which are due, who holds them, and what follows from an attempt.

A delivery is claimed with a lease and marked after the attempt, so a crash in between repeats it under the same
`webhook-id` and loses nothing. While a lease runs nobody else attempts it.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, Text, bindparam, delete, func, or_, select, text, update

from service.errors import ServiceError
from service.extensions import db
from service.notify.channels.webhook import Outcome
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.outbox import TOPICS
from service.scope import everything, scoped

LONGEST_PAUSE = 6 * 3600.0
# How long what was delivered, or given up, can still be looked at and replayed.
KEEP = timedelta(days=7)
# The last attempt is due at `give_up_at` itself: time for it before the delivery is given up unattempted.
LAST_CHANCE = timedelta(minutes=10)


def pause(attempt: int, *, first: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the failed attempt number `attempt`: doubling, up to six hours, half of it random.

    The random half keeps the deliveries that failed together from coming back together.
    """
    # 2**40 is beyond any limit; the bound keeps the power a small number.
    whole = min(first * 2.0 ** min(attempt - 1, 40), LONGEST_PAUSE)
    return whole * (0.5 + 0.5 * jitter())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One delivery in our hands until `lease_until`."""

    id: int
    endpoint_id: int
    message_id: uuid.UUID
    attempts: int
    give_up_at: datetime
    lease_until: datetime
    topic: str
    payload: dict[str, Any]
    subject_member: int | None
    happened_at: datetime


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an attempt makes of a delivery."""

    claim: Claim
    state: str
    due_at: datetime
    outcome: Outcome


def judge(claim: Claim, outcome: Outcome, *, now: datetime, first_pause: float) -> Verdict:
    """Delivered, due again, or dead: gone for good or out of time. The last attempt is at `give_up_at`."""
    if outcome.error is None:
        return Verdict(claim=claim, state="delivered", due_at=now, outcome=outcome)
    if outcome.gone or now >= claim.give_up_at:
        return Verdict(claim=claim, state="dead", due_at=now, outcome=outcome)
    seconds = max(pause(claim.attempts, first=first_pause), outcome.retry_after)
    due = min(now + timedelta(seconds=seconds), claim.give_up_at)
    return Verdict(claim=claim, state="pending", due_at=due, outcome=outcome)


WAITING = text(
    """
    -- scope: whoever has something due
    SELECT id FROM endpoints WHERE enabled AND EXISTS (
        SELECT FROM deliveries WHERE endpoint_id = endpoints.id AND state = 'pending' AND due_at <= :now
        AND (lease_until IS NULL OR lease_until <= :now)
    )
    """
)


def waiting(now: datetime) -> list[int]:
    """The endpoints that something is due for."""
    return list(db.session.scalars(WAITING, {"now": now}))


# Materialised, so that the rows are chosen and locked once whatever the planner makes of the join.
CLAIM = text(
    """
    -- scope: due ones of the endpoints that are asked for
    WITH due AS MATERIALIZED (
        SELECT taken.id FROM unnest(:endpoints, :shares) AS given (endpoint_id, share)
        CROSS JOIN LATERAL (
            SELECT id FROM deliveries
            WHERE endpoint_id = given.endpoint_id AND state = 'pending' AND due_at <= :now
            AND (lease_until IS NULL OR lease_until <= :now)
            ORDER BY due_at, id LIMIT given.share FOR UPDATE SKIP LOCKED
        ) AS taken
    )
    UPDATE deliveries SET lease_until = :lease_until, attempts = attempts + 1
    FROM due, outbox WHERE deliveries.id = due.id AND outbox.id = deliveries.outbox_id
    RETURNING deliveries.id, endpoint_id, message_id, attempts, give_up_at, lease_until, topic, payload,
        subject_member, outbox.created_at AS happened_at
    """
).bindparams(bindparam("endpoints", type_=ARRAY(BigInteger)), bindparam("shares", type_=ARRAY(Integer)))


def claim(shares: Mapping[int, int], *, now: datetime, lease_seconds: float) -> list[Claim]:
    """Take up to `shares[endpoint]` due deliveries of each endpoint, for `lease_seconds`. Commits."""
    rows = db.session.execute(
        CLAIM,
        {
            "endpoints": list(shares),
            "shares": list(shares.values()),
            "now": now,
            "lease_until": now + timedelta(seconds=lease_seconds),
        },
    ).all()
    db.session.commit()
    return [Claim(**row._mapping) for row in rows]


# Only the holder of the lease may settle: one that slept past it must not undo what its successor did.
SETTLE = text(
    """
    -- scope: those that were claimed
    UPDATE deliveries SET state = verdict.state, due_at = verdict.due_at, lease_until = NULL,
        last_status = verdict.status, last_error = verdict.error,
        delivered_at = CASE verdict.state WHEN 'delivered' THEN verdict.due_at END
    FROM unnest(:ids, :leases, :states, :dues, :statuses, :errors)
        AS verdict (id, lease_until, state, due_at, status, error)
    WHERE deliveries.id = verdict.id AND deliveries.lease_until = verdict.lease_until
    """
).bindparams(
    bindparam("ids", type_=ARRAY(BigInteger)),
    bindparam("leases", type_=ARRAY(DateTime(timezone=True))),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("dues", type_=ARRAY(DateTime(timezone=True))),
    bindparam("statuses", type_=ARRAY(Integer)),
    bindparam("errors", type_=ARRAY(Text)),
)


def settle(verdicts: Iterable[Verdict]) -> None:
    """Write what came of the attempts; an endpoint that is gone is disabled. Commits."""
    ordered = sorted(verdicts, key=lambda verdict: verdict.claim.id)
    if not ordered:
        return
    db.session.execute(
        SETTLE,
        {
            "ids": [verdict.claim.id for verdict in ordered],
            "leases": [verdict.claim.lease_until for verdict in ordered],
            "states": [verdict.state for verdict in ordered],
            "dues": [verdict.due_at for verdict in ordered],
            "statuses": [verdict.outcome.status for verdict in ordered],
            "errors": [verdict.outcome.error for verdict in ordered],
        },
    )
    _disable(sorted({verdict.claim.endpoint_id for verdict in ordered if verdict.outcome.gone}))
    db.session.commit()


def _disable(endpoints: Sequence[int]) -> None:
    """Stop all traffic to `endpoints`: their receivers said that they are gone."""
    if not endpoints:
        return
    stopped = scoped(update(Endpoint), Endpoint.id.in_(endpoints)).values(enabled=False, disabled_reason="gone")
    dead = scoped(update(Delivery), Delivery.endpoint_id.in_(endpoints), Delivery.state == "pending")
    db.session.execute(stopped)
    db.session.execute(dead.values(state="dead", last_error="gone", lease_until=None))


RELEASE = text(
    """
    -- scope: those that were claimed
    UPDATE deliveries SET lease_until = NULL, attempts = attempts - 1
    WHERE id = ANY (:ids) AND lease_until = :lease_until AND state = 'pending'
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))


def release(claims: Iterable[Claim]) -> None:
    """Give back what was claimed and not attempted to its end, so that another worker takes it at once. Commits."""
    by_lease: dict[datetime, list[int]] = {}
    for held in claims:
        by_lease.setdefault(held.lease_until, []).append(held.id)
    for lease_until, ids in by_lease.items():
        db.session.execute(RELEASE, {"ids": sorted(ids), "lease_until": lease_until})
    db.session.commit()


def retry(endpoint: Endpoint, delivery_id: int, *, now: datetime) -> Delivery:
    """Send a delivery of `endpoint` again, whatever became of it, with a full life ahead. Commits."""
    found = db.session.scalar(
        scoped(select(Delivery), Delivery.id == delivery_id, Delivery.endpoint_id == endpoint.id).with_for_update()
    )
    if found is None:
        raise ServiceError("not_found")
    if not endpoint.enabled:
        raise ServiceError("endpoint_disabled")
    found.state, found.attempts, found.due_at = "pending", 0, now
    found.give_up_at = now + TOPICS[found.event.topic]
    db.session.commit()
    return found


def history(endpoint_id: int, *, state: str | None, before: int | None, limit: int) -> list[Delivery]:
    """The latest deliveries to an endpoint, newest first; `before` continues a page."""
    query = scoped(select(Delivery), Delivery.endpoint_id == endpoint_id)
    if state is not None:
        query = query.where(Delivery.state == state)
    if before is not None:
        query = query.where(Delivery.id < before)
    return list(db.session.scalars(query.order_by(Delivery.id.desc()).limit(limit)))


def expire(now: datetime) -> int:
    """Give up what its receiver was too slow to be even tried for in time; how many. Commits."""
    late = update(Delivery).where(
        Delivery.state == "pending",
        Delivery.give_up_at < now - LAST_CHANCE,
        or_(Delivery.lease_until.is_(None), Delivery.lease_until <= now),
    )
    given_up = late.values(state="dead", last_error=func.coalesce(Delivery.last_error, "expired"))
    result = db.session.execute(everything("whoever is late is given up", given_up))
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]


def prune(now: datetime, *, batch: int = 2000) -> int:
    """Forget up to `batch` events older than `KEEP` whose deliveries are all settled; how many. Commits."""
    pending = select(Delivery.id).where(Delivery.outbox_id == Outbox.id, Delivery.state == "pending")
    old = (
        select(Outbox.id)
        .where(Outbox.fanned_out_at < now - KEEP, ~pending.exists())
        .order_by(Outbox.id)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    # No session holds any of them.
    forgotten = delete(Outbox).where(Outbox.id.in_(old)).execution_options(synchronize_session=False)
    result = db.session.execute(everything("whatever is old is forgotten", forgotten))
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]
