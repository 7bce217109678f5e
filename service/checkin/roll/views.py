"""REST doors of the roll: what an organiser keeps attendance of, and who has come."""

from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.activity.views import shown as shown_activity
from service.auth import granted
from service.checkin.attendance.nodes import path_of
from service.checkin.attendance.schemas import MissingQuery
from service.checkin.attendance.views import branch
from service.checkin.models import CheckIn
from service.checkin.roll import calling
from service.checkin.roll.schemas import DeskOut, RollOut
from service.checkin.scope import activities_of, activity_of, branches_of
from service.clock import now as read_clock
from service.org.people.scope import branch_of

bp = APIBlueprint("roll", __name__, tag="Attendance")

PLAIN = ("id", "activity_id", "sitting_id", "reference", "method", "happened_at", "received_at", "late")
TAKEN_BACK = ("annulled_at", "confirmed_at", "reason", "annul_reason")


@bp.get("/organisers/desk")
@granted("roster")
@bp.output(DeskOut)
def desk() -> dict[str, Any]:
    """Show where the organiser keeps attendance, and of what

    The highest nodes of his part of the tree; current and coming activities that concern it, and those of a month ago.
    """
    activities = activities_of(g.organiser, read_clock())
    return {"branches": branches_of(g.organiser), "activities": [shown_activity(one) for one in activities]}


@bp.get("/activities/<int(max=9223372036854775807):activity_id>/roll")
@granted("roster")
@bp.input(MissingQuery, location="query")
@bp.output(RollOut)
def call(activity_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Call the roll at a node: who is on it, and what was noted of each; 500 a page"""
    activity, now, node = activity_of(g.organiser, activity_id), read_clock(), query_data["node"]
    home, _, last = query_data["after"].partition(":")
    path, today = path_of(g.organiser, activity, node, now), branch_of(g.organiser, node).path
    page = calling.call(activity, path, now, today=today, after=(home, int(last or 0)))
    more = f"{page.lines[-1].home_path}:{page.lines[-1].member}" if page.full else None
    lines = [shown(page, line) for line in page.lines]
    return {"activity": activity.id, "node": node, "as_of": now, "frozen": page.frozen, "roll": lines, "after": more}


def shown(page: calling.Page, line: calling.Line) -> dict[str, Any]:
    """A line as LineOut wants it."""
    asked = [one for one in page.leaves.get(line.member, ()) if one.state != "withdrawn"]
    leave = {name: getattr(asked[-1], name) for name in ("id", "state", "reason")} if asked else None
    return {
        "member": line.member,
        "name": line.name,
        "organisation": branch(line.home_path),
        "standing": line.standing,
        "check_ins": [noted(one) for one in page.check_ins.get(line.member, ())],
        "leave": leave,
        "made_up": any(one.annulled_at is None for one in page.make_ups.get(line.member, ())),
    }


def noted(row: CheckIn) -> dict[str, Any]:
    """A check-in as NotedOut wants it."""
    entered = {"assisted": row.entered_by is not None, "mine": row.entered_by == g.organiser.id}
    return {name: getattr(row, name) for name in PLAIN + TAKEN_BACK} | entered
