"""Letting today's paths show what the dated paths say once its day has come."""

from datetime import date

from sqlalchemy import func, select, text, update

from service.extensions import db
from service.org.tree.models import OrganisationChange
from service.org.tree.paths import lock

# By what holds, not by what was entered: in whatever order changes were entered, the same paths come of it.
PATHS = text(
    """
    UPDATE organisations o SET path = p.path, parent_id = nullif(split_part(p.path, '.', -2), '')::bigint
    FROM organisation_paths p
    WHERE p.organisation_id = o.id AND p.home AND p.during @> CAST(:today AS date) AND o.path <> p.path
    """
)
# Webhooks' receivers carry a copy of the path of the organisation that they listen for.
ENDPOINTS = text(
    """
    UPDATE endpoints e SET organisation_path = o.path FROM organisations o
    WHERE o.id = e.organisation_id AND e.organisation_path <> o.path
    """
)
# One merger a round: who was merged into one that was merged itself goes all the way.
MEMBERS = text(
    """
    UPDATE members m SET organisation_id = o.successor_id FROM organisations o
    WHERE m.organisation_id = o.id AND o.successor_id IS NOT NULL AND o.closed_on <= :today
    """
)


def settle(today: date) -> int:
    """Apply the changes whose day has come; how many. In the caller's transaction, and quiet when there are none."""
    due = (OrganisationChange.effective_on <= today) & ~OrganisationChange.settled
    count = waiting(today)
    if count:
        db.session.flush()
        db.session.execute(PATHS, {"today": today})
        db.session.execute(ENDPOINTS)
        while db.session.execute(MEMBERS, {"today": today}).rowcount:  # type: ignore[attr-defined]
            pass
        db.session.execute(update(OrganisationChange).where(due).values(settled=True))
        db.session.expire_all()
    return count


def waiting(today: date) -> int:
    """How many changes wait to be settled."""
    due = (OrganisationChange.effective_on <= today) & ~OrganisationChange.settled
    return db.session.scalar(select(func.count()).where(due)) or 0


def settle_due(today: date) -> int:
    """`settle`, committed: what the worker does. Without work it does not wait for who changes the tree."""
    if waiting(today):
        lock()
    count = settle(today)
    db.session.commit()
    return count
