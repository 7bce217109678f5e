"""Letting today's paths show what the dated paths say once its day has come."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Row, select, text, update

from service.extensions import db
from service.org.tree import asof
from service.org.tree.models import OrganisationChange
from service.org.tree.paths import FEW, lock

# By what holds, not by what was entered: in whatever order changes were entered, the same paths come of it.
PATHS = text(
    """
    UPDATE organisations o SET path = p.path, parent_id = nullif(split_part(p.path, '.', -2), '')::bigint
    FROM organisation_paths p
    WHERE p.path >= :first AND p.path < :beyond AND p.during @> CAST(:today AS date) AND p.home
        AND p.organisation_id = o.id AND o.path <> p.path
    """
)
# Every path begins with a digit, and ':' comes after these.
EVERYWHERE = ("", ":")
# Webhooks' receivers carry a copy of the path of the organisation that they listen for.
ENDPOINTS = text(
    """
    -- scope: every endpoint, whose path follows the tree
    UPDATE endpoints e SET organisation_path = o.path FROM organisations o
    WHERE o.id = e.organisation_id AND e.organisation_path <> o.path
    """
)
# One merger a round: who was merged into one that was merged itself goes all the way.
MEMBERS = text(
    """
    -- scope: the members of what was merged
    UPDATE members m SET organisation_id = o.successor_id FROM organisations o
    WHERE m.organisation_id = o.id AND o.successor_id IS NOT NULL AND o.closed_on <= :today
    """
)
# Whoever listened for a merged organisation listens for the other one.
LISTENERS = text(
    """
    -- scope: the endpoints of what was merged
    UPDATE endpoints e SET organisation_id = o.successor_id FROM organisations o
    WHERE e.organisation_id = o.id AND o.successor_id IS NOT NULL AND o.closed_on <= :today
    """
)
# A stay with a merged branch goes on with the other one, unless the member is at home there, or stays there already.
STAYS = text(
    """
    -- scope: the stays with what was merged
    WITH ended AS (
        UPDATE attachments a SET closed_on = o.closed_on FROM organisations o
        WHERE a.organisation_id = o.id AND o.successor_id IS NOT NULL AND o.closed_on <= :today AND a.closed_on IS NULL
        RETURNING a.*, o.successor_id
    )
    INSERT INTO attachments (member_id, organisation_id, reason, starts_on, ends_on, proposed_at, home_confirmed_at,
        receiving_confirmed_at)
    SELECT DISTINCT ON (e.member_id, e.successor_id) e.member_id, e.successor_id, e.reason,
        greatest(e.starts_on, e.closed_on), e.ends_on, e.proposed_at, e.home_confirmed_at, e.receiving_confirmed_at
    FROM ended e JOIN members m ON m.id = e.member_id
    WHERE m.organisation_id <> e.successor_id AND (e.ends_on IS NULL OR e.ends_on > greatest(e.starts_on, e.closed_on))
    ORDER BY e.member_id, e.successor_id, e.home_confirmed_at IS NULL OR e.receiving_confirmed_at IS NULL, e.id
    ON CONFLICT DO NOTHING
    """
)


def settle(today: date) -> int:
    """Apply the changes whose day has come; how many. In the caller's transaction, and quiet when there are none."""
    db.session.flush()
    due = waiting(today)
    if due:
        for first, beyond in touched(due, today):
            db.session.execute(PATHS, {"first": first, "beyond": beyond, "today": today})
        for follow in (LISTENERS, MEMBERS, STAYS):
            while db.session.execute(follow, {"today": today}).rowcount:  # type: ignore[attr-defined]
                pass
        db.session.execute(ENDPOINTS)
        settled = update(OrganisationChange).where(OrganisationChange.id.in_([change.id for change in due]))
        db.session.execute(settled.values(settled=True))
        db.session.expire_all()
    return len(due)


def waiting(today: date) -> Sequence[Row[int, str, int, int | None]]:
    """The changes that wait to be settled: number, kind, organisation, the other one."""
    columns = (getattr(OrganisationChange, name) for name in ("id", "kind", "organisation_id", "other_id"))
    due = (OrganisationChange.effective_on <= today) & ~OrganisationChange.settled
    return db.session.execute(select(*columns).where(due)).all()


def touched(due: Sequence[Row[int, str, int, int | None]], today: date) -> list[tuple[str, str]]:
    """The ranges of today's paths in which `due` may have left an organisation behind.

    Whose path is not today's lies below one that has moved, or came to the one that its parent was merged into.
    """
    numbers = {change.other_id if change.kind == "merged" else change.organisation_id for change in due}
    if len(numbers) > FEW:
        return [EVERYWHERE]
    homes = [path for number in numbers for path in asof.paths(number, today)[:1]]
    return [(path, path + "/") for path in homes]


def settle_due(today: date) -> int:
    """`settle`, committed: what the worker does. Without work it does not wait for who changes the tree."""
    if waiting(today):
        lock()
    count = settle(today)
    db.session.commit()
    return count
