"""Events for who cannot be called: asked for by position, which rises in the order in which they were told.

Positions are given out one transaction after another, so nothing comes to stand before what somebody has read. An event
can be pulled from a moment after it happened, when it is fanned out, for as long as it is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app
from sqlalchemy import ARRAY, Text, bindparam, text

from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.notify import endpoints
from service.notify.channels.webhook import subject
from service.notify.endpoints import TEST, Organiser

# So many positions are looked at for one answer, whosever events they are.
WINDOW = 5000

# The bounds of the window are materialised, so that no plan looks further.
PULL = text(
    """
    -- scope: where the asker may hear
    WITH window_ AS MATERIALIZED (
        SELECT position, topic, organisation_paths, subject_member, payload, created_at FROM outbox
        WHERE position > :after ORDER BY position LIMIT :window
    ), mine AS (
        SELECT position, topic, subject_member, payload, created_at FROM window_
        WHERE topic <> :test AND (CAST(:topics AS text[]) IS NULL OR topic = ANY (:topics)) AND EXISTS (
            SELECT FROM unnest(organisation_paths) AS path, unnest(CAST(:paths AS text[])) AS reached
            WHERE path = reached OR starts_with(path, reached || '.')
        )
        ORDER BY position LIMIT :limit
    )
    SELECT mine.*, (SELECT max(position) FROM window_) AS seen FROM mine
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, max(position) FROM window_
    ORDER BY position NULLS LAST
    """
).bindparams(bindparam("topics", type_=ARRAY(Text)), bindparam("paths", type_=ARRAY(Text)))


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events, and the position to go on after."""

    events: list[dict[str, Any]]
    next: int


def pull(organiser: Organiser, *, after: int, limit: int, topics: Sequence[str] | None, endpoint: int | None) -> Page:
    """Up to `limit` events after a position; subjects are those that `endpoint`, one of the asker's, is told.

    ServiceError not_found for an endpoint that is not.
    """
    key = None if endpoint is None else _subject_key(endpoint, organiser)
    values = {"after": after, "limit": limit, "topics": topics or None, "paths": list(organiser.paths("push"))}
    *rows, end = db.session.execute(PULL, values | {"window": WINDOW, "test": TEST}).all()
    # A full page may have ended before its window did.
    last = rows[-1].position if len(rows) == limit else end.seen
    return Page(events=[_event(row, key) for row in rows], next=after if last is None else last)


def _subject_key(endpoint: int, organiser: Organiser) -> bytes:
    found = endpoints.addresses(
        [endpoints.find(endpoint, organiser).id], secrets=current_app.config["CHUNSHUI"].secrets
    )
    if endpoint not in found:
        raise ServiceError("not_found")
    return found[endpoint].subject_key


def _event(row: Any, key: bytes | None) -> dict[str, Any]:
    data = dict(row.payload)
    if key is not None and row.subject_member is not None:
        data["subject"] = subject(key, row.subject_member)
    return {"position": row.position, "type": row.topic, "timestamp": iso(row.created_at), "data": data}
