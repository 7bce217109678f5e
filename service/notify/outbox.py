"""The outbox: what happened, written in the caller's transaction, and its fan-out to those who listen.

A row exists exactly if the caller's transaction committed, and each endpoint that listened when it was fanned
out gets exactly one delivery for it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Interval, Text, bindparam, insert, text

from service import arrays
from service.extensions import db
from service.notify.models import Outbox

# How long a delivery is tried before it is given up. A count is news for minutes only.
TOPICS: dict[str, timedelta] = {
    "activity.opened": timedelta(days=3),
    "checkin.annulled": timedelta(days=3),
    "checkin.created": timedelta(days=3),
    "stream.count": timedelta(minutes=10),
    # To one endpoint that asked for it, and to no other.
    "endpoint.test": timedelta(hours=1),
}

# Who someone is leaves this service as an opaque subject or not at all.
PERSONAL = frozenset({"member", "member_id", "name", "openid", "unionid", "phone", "subject"})


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something to tell the endpoints of `organisation_path`, its ancestors, or those of several paths.

    `payload` is neutral JSON; ValueError if it names a person or if the topic is unknown. A member is told of
    by `subject_member` only, which each endpoint sees as a stable pseudonym of its own.
    """

    topic: str
    organisation_path: str | Sequence[str]
    payload: dict[str, Any]
    subject_member: int | None = None

    def __post_init__(self) -> None:
        if self.topic not in TOPICS:
            raise ValueError(f"unknown topic {self.topic}")
        personal = PERSONAL & self.payload.keys()
        if personal:
            raise ValueError(f"a payload may not carry {', '.join(sorted(personal))}")

    @property
    def paths(self) -> list[str]:
        """The organisations concerned."""
        single = isinstance(self.organisation_path, str)
        return [self.organisation_path] if single else list(self.organisation_path)  # type: ignore[list-item]


def publish(
    topic: str,
    *,
    organisation_path: str | Sequence[str],
    payload: dict[str, Any],
    subject_member: int | None = None,
) -> None:
    """Add one event to the caller's transaction; it is told if and only if that commits."""
    publish_many(
        [
            Event(
                topic=topic,
                organisation_path=organisation_path,
                payload=payload,
                subject_member=subject_member,
            )
        ]
    )


def publish_many(events: Iterable[Event]) -> None:
    """Add many events to the caller's transaction, in one round trip."""
    rows = [
        {
            "topic": event.topic,
            "organisation_paths": event.paths,
            "subject_member": event.subject_member,
            "payload": event.payload,
        }
        for event in events
    ]
    if rows:
        db.session.execute(insert(Outbox), rows)


PUBLISH_EACH = text(
    """
    INSERT INTO outbox (topic, organisation_paths, subject_member, payload)
    SELECT :topic, ARRAY[told.path], told.member, CAST(:payload AS jsonb)
    FROM unnest(CAST(:paths AS text[]), CAST(:members AS bigint[])) AS told (path, member)
    """
)


def publish_each(topic: str, payload: dict[str, Any], concerned: Sequence[tuple[str, int]]) -> None:
    """Add one event for each organisation path and member, all of the same neutral payload, in one statement."""
    if not concerned:
        return
    paths, members = zip(*concerned, strict=True)
    Event(topic=topic, organisation_path=paths, payload=payload)  # what may not be told may not be told to many
    columns = {"paths": arrays.quoted(paths), "members": arrays.plain(map(str, members))}
    db.session.execute(PUBLISH_EACH, {"topic": topic, "payload": json.dumps(payload)} | columns)


# Several workers may run this at once: each takes other rows, and the unique constraint would catch a slip.
FAN_OUT = text(
    """
    -- scope: endpoints at and above where it happened
    WITH claimed AS MATERIALIZED (
        SELECT id, topic, organisation_paths FROM outbox WHERE fanned_out_at IS NULL
        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), told AS (
        INSERT INTO deliveries (outbox_id, endpoint_id, due_at, give_up_at)
        SELECT claimed.id, endpoints.id, :now, :now + life.span
        FROM claimed
        JOIN unnest(:topics, :spans) AS life (topic, span) ON life.topic = claimed.topic
        JOIN endpoints ON endpoints.enabled AND claimed.topic = ANY (endpoints.topics)
        WHERE EXISTS (
            SELECT FROM unnest(claimed.organisation_paths) AS path
            WHERE path = endpoints.organisation_path OR starts_with(path, endpoints.organisation_path || '.')
        )
        ON CONFLICT (outbox_id, endpoint_id) DO NOTHING
    ), numbered AS MATERIALIZED (
        SELECT id, nextval('outbox_positions') AS position FROM (SELECT id FROM claimed ORDER BY id) AS ordered
    )
    UPDATE outbox SET fanned_out_at = :now, position = coalesce(outbox.position, numbered.position)
    FROM numbered WHERE outbox.id = numbered.id
    """
).bindparams(bindparam("topics", type_=ARRAY(Text)), bindparam("spans", type_=ARRAY(Interval)))


# One at a time: a position must not be seen before a lower one. Whoever comes meanwhile leaves it to that one.
ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('positions of events', 0))")


def fan_out(now: datetime, *, batch: int = 1000) -> int:
    """Turn up to `batch` waiting events into deliveries; how many events were taken. Commits."""
    if not db.session.scalar(ALONE):
        db.session.rollback()
        return 0
    result = db.session.execute(
        FAN_OUT, {"now": now, "batch": batch, "topics": list(TOPICS), "spans": list(TOPICS.values())}
    )
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]
