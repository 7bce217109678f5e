"""Deliveries of webhooks, as the engine (`queue`) carries them; each attempt is made under the same `webhook-id`."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ARRAY, BigInteger, Integer, Interval, Text, bindparam, delete, func, or_, select, text, update

from service.errors import ServiceError
from service.extensions import db
from service.notify import endpoints
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.outbox import TOPICS
from service.notify.queue import Queue, Verdict
from service.scope import everything, scoped

# How long what was delivered, or given up, can still be looked at and replayed.
KEEP = timedelta(days=7)
# The last attempt is due at `give_up_at` itself: time for it before the delivery is given up unattempted.
LAST_CHANCE = timedelta(minutes=10)
# An endpoint at which nothing but failures came in so long a time is left alone.
MOST_FAILING = timedelta(days=3)
log = structlog.get_logger(__name__)


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
    again: bool = False


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


QUEUE = Queue(
    table="deliveries",
    lane="endpoint_id",
    lane_type=BigInteger(),
    joined="outbox WHERE outbox.id = deliveries.outbox_id",
    columns="message_id, topic, payload, subject_member, outbox.created_at AS happened_at",
    facts={
        "last_status": (Integer(), lambda outcome: outcome.status),
        "last_error": (Text(), lambda outcome: outcome.error),
    },
)


def claim(shares: Mapping[int, int], *, now: datetime, lease_seconds: float) -> list[Claim]:
    """Take up to `shares[endpoint]` due deliveries of each endpoint, for `lease_seconds`. Commits."""
    return [Claim(**row) for row in QUEUE.claim(shares, now=now, lease_seconds=lease_seconds)]


def settle(verdicts: Sequence[Verdict[Claim]], now: datetime) -> None:
    """Write what came of the attempts; an endpoint that is gone is disabled. Commits."""
    if not verdicts:
        return
    QUEUE.settle(verdicts)
    well = {verdict.claim.endpoint_id: False for verdict in verdicts}
    well |= {verdict.claim.endpoint_id: True for verdict in verdicts if verdict.outcome.kind == "done"}
    endpoints.learn(well, now)
    gone = {verdict.claim.endpoint_id for verdict in verdicts if verdict.outcome.kind == "drop_address"}
    disable(sorted(gone), "gone")
    db.session.commit()


def disable(numbers: Sequence[int], reason: str) -> None:
    """Stop all traffic to endpoints, and say why; in the caller's transaction."""
    if not numbers:
        return
    stopped = scoped(update(Endpoint), Endpoint.id.in_(numbers)).values(enabled=False, disabled_reason=reason)
    dead = scoped(update(Delivery), Delivery.endpoint_id.in_(numbers), Delivery.state == "pending")
    db.session.execute(stopped)
    db.session.execute(dead.values(state="dead", last_error=reason, lease_until=None))
    log.error("endpoint disabled", endpoints=list(numbers), reason=reason)


def disable_failing(now: datetime) -> int:
    """Stop the traffic to endpoints at which everything has failed for `MOST_FAILING`; how many. Commits."""
    failing = (Endpoint.enabled, Endpoint.failing_since < now - MOST_FAILING)
    question = select(Endpoint.id).where(*failing).order_by(Endpoint.id).with_for_update(skip_locked=True)
    found = list(db.session.scalars(everything("whoever fails is left alone", question)))
    disable(found, "failing")
    db.session.commit()
    return len(found)


def release(claims: Iterable[Claim]) -> None:
    """Give back what was claimed and not attempted to its end, so that another worker takes it at once. Commits."""
    QUEUE.release(claims)


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


REPLAY = text(
    """
    -- scope: one endpoint, and what it may hear
    INSERT INTO deliveries (outbox_id, endpoint_id, due_at, give_up_at)
    SELECT outbox.id, endpoints.id, :now, :now + life.span
    FROM endpoints JOIN outbox ON outbox.topic = ANY (endpoints.topics)
    JOIN unnest(:topics, :spans) AS life (topic, span) ON life.topic = outbox.topic
    WHERE endpoints.id = :endpoint AND outbox.created_at >= :since AND outbox.fanned_out_at IS NOT NULL AND EXISTS (
        SELECT FROM unnest(outbox.organisation_paths) AS path
        WHERE path = endpoints.organisation_path OR starts_with(path, endpoints.organisation_path || '.')
    )
    ORDER BY outbox.id
    ON CONFLICT (outbox_id, endpoint_id) DO UPDATE
    SET state = 'pending', attempts = 0, due_at = excluded.due_at, give_up_at = excluded.give_up_at
    WHERE deliveries.state <> 'pending'
    """
).bindparams(bindparam("topics", type_=ARRAY(Text)), bindparam("spans", type_=ARRAY(Interval)))


def replay(endpoint: Endpoint, since: datetime, *, now: datetime) -> int:
    """Send all that happened since to `endpoint` again, under the same ids, and what it never had; how much. Commits.

    ServiceError endpoint_disabled.
    """
    if not endpoint.enabled:
        raise ServiceError("endpoint_disabled")
    lives = {"topics": list(TOPICS), "spans": list(TOPICS.values())}
    result = db.session.execute(REPLAY, {"endpoint": endpoint.id, "since": since, "now": now} | lives)
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]


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
