"""Collective viewing at a node of the tree: where the screens stood, who was ticked there, how many heads there were.

`ticked` are names, and as such among those present already. `headcount` is what somebody counted: of a lower grade, in
no other figure, and never added to one, neither to those present nor to a stream's viewers.
"""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import text

from service.checkin.attendance.figures import BELOW, CHILD
from service.checkin.models import STANDS
from service.extensions import db

# By session first, so that each is one short range of an index.
SCREENS = text(
    f"""
    -- scope: an activity, and one node's part of the tree
    SELECT {CHILD.format("g.organisation_path")} AS child, count(*) AS sessions, count(counted.people) AS counted,
        coalesce(sum(counted.people), 0) AS headcount, sum(ticked.people) AS ticked
    FROM group_sessions g
    LEFT JOIN LATERAL (SELECT people FROM headcounts /* scope: the session */
        WHERE group_session_id = g.id ORDER BY id DESC LIMIT 1) counted ON true
    CROSS JOIN LATERAL (SELECT count(*) AS people FROM check_ins /* scope: the session */
        WHERE check_ins.group_session_id = g.id AND {STANDS}) ticked
    WHERE g.activity_id = :activity AND {BELOW.format("g.organisation_path")} GROUP BY 1 ORDER BY 1
    """  # noqa: S608 - conditions of our own
)
LASTS = text(
    f"""
    -- scope: sessions that the caller was let see
    SELECT g.id, (SELECT people FROM headcounts WHERE group_session_id = g.id ORDER BY id DESC LIMIT 1) AS headcount,
        (SELECT count(*) FROM check_ins WHERE check_ins.group_session_id = g.id AND {STANDS}) AS ticked
    FROM unnest(CAST(:sessions AS bigint[])) AS g (id)
    """  # noqa: S608 - conditions of our own
)


@dataclass(frozen=True, kw_only=True)
class Screens:
    """Sessions, how many of them were counted by heads, those heads, and names."""

    sessions: int = 0
    counted: int = 0
    headcount: int = 0
    ticked: int = 0

    def __add__(self, other: "Screens") -> "Screens":
        return Screens(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Screens)})


def at(activity: int, path: str) -> tuple[Screens, dict[int, Screens]]:
    """Of all screens below the node that had this path on the activity's day, and by child (0: at the node itself)."""
    rows = db.session.execute(SCREENS, {"activity": activity, "path": path}).all()
    children = {
        int(row.child or 0): Screens(**{one.name: int(getattr(row, one.name)) for one in fields(Screens)})
        for row in rows
    }
    return sum(children.values(), Screens()), children


def of_sessions(sessions: list[int]) -> dict[int, dict[str, Any]]:
    """The last headcount of each session, None if there is none, and how many stand ticked."""
    rows = db.session.execute(LASTS, {"sessions": sessions})
    return {row.id: {"headcount": row.headcount, "ticked": row.ticked} for row in rows}
