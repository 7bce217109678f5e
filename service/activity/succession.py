"""When an organisation was merged, the activities that it holds and those that it is invited to are its successor's."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from service.clock import day_of
from service.extensions import db

# One merger a round: who was merged into one that was merged itself goes all the way. What has begun keeps its
# invitations, by which its roster was frozen; what is over keeps everything.
FOLLOW = """
-- scope: merged organisations' part in activities to come
WITH gone AS (
    DELETE FROM {table} i USING organisations o
    WHERE o.id = i.organisation_id AND o.successor_id IS NOT NULL AND o.closed_on <= :today
        AND (SELECT {moment} FROM sittings s WHERE s.activity_id = i.activity_id) > :now
    RETURNING i.*, o.successor_id
)
INSERT INTO {table} ({columns}) SELECT DISTINCT ON (activity_id, successor_id) {chosen} FROM gone
ON CONFLICT DO NOTHING
"""
INVITATIONS = text(
    FOLLOW.format(
        table="activity_invitations",
        moment="min(s.starts_at)",
        columns="activity_id, organisation_id",
        chosen="activity_id, successor_id",
    )
)
ORGANISERS = text(
    FOLLOW.format(
        table="activity_organisers",
        moment="max(s.ends_at)",
        columns="activity_id, organisation_id, tier, position",
        chosen="activity_id, successor_id, tier, position",
    )
)


def succeed(now: datetime) -> None:
    """Let them follow. Commits. Quiet when there is nothing."""
    values: dict[str, Any] = {"today": day_of(now), "now": now}
    for statement in (INVITATIONS, ORGANISERS):
        while db.session.execute(statement, values).rowcount:  # type: ignore[attr-defined]
            pass
    db.session.commit()
