"""REST doors of collective viewing."""

from typing import Any

from apiflask import APIBlueprint
from flask import g
from marshmallow import ValidationError

from service.auth import granted, roomy
from service.checkin.group import figures, sessions, ticks
from service.checkin.group.models import GroupSession
from service.checkin.group.schemas import (
    GroupSessionIn,
    GroupSessionOut,
    GroupSessionsOut,
    HeadcountIn,
    TickIn,
    TicksIn,
)
from service.checkin.group.sessions import Screen
from service.checkin.group.ticks import Tick
from service.checkin.schemas import BatchOut
from service.checkin.views import BATCH_BYTES, told, unread
from service.clock import now as read_clock
from service.limits import per_account

bp = APIBlueprint("group", __name__, tag="Collective viewing")

SESSIONS = "/activities/<int(max=9223372036854775807):activity_id>/group-sessions"
SESSION = f"{SESSIONS}/<int(max=9223372036854775807):group_session_id>"


@bp.post(SESSIONS)
@granted("roster")
@per_account
@bp.input(GroupSessionIn)
@bp.output(GroupSessionOut, status_code=201)
def begin(activity_id: int, json_data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Open a group session: a branch that watches a sitting together before one screen

    201 the first time, 200 with the same session for the same reference again.
    """
    session, repeat = sessions.begin(g.organiser, activity_id, Screen(**json_data), read_clock())
    return shown(session)[0], 200 if repeat else 201


@bp.get(SESSIONS)
@granted("roster")
@bp.output(GroupSessionsOut)
def list_sessions(activity_id: int) -> dict[str, Any]:
    """List the group sessions of branches in the organiser's part of the tree, the latest 500"""
    return {"group_sessions": shown(*sessions.of_activity(g.organiser, activity_id))}


@bp.post(f"{SESSION}/ticks")
@granted("roster")
@per_account
@roomy(BATCH_BYTES)
@bp.input(TicksIn)
@bp.output(BatchOut)
def tick(activity_id: int, group_session_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Tick who is before the screen, up to 500

    Each tick has its own answer; the request may be sent again as it is.
    """
    read = [read_tick(one) for one in json_data["ticks"]]
    readable = [one for one in read if isinstance(one, Tick)]
    answers = iter(ticks.tick(g.organiser, activity_id, group_session_id, readable, read_clock()))
    return {"answers": [told(next(answers)) if isinstance(one, Tick) else unread(one) for one in read]}


@bp.put(f"{SESSION}/headcount")
@granted("roster")
@per_account
@bp.input(HeadcountIn)
@bp.output(GroupSessionOut)
def count_heads(activity_id: int, group_session_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Say how many heads there are before the screen, named or not

    A figure of its own, of a lower grade than names: it is added to nobody present and to no viewers.
    """
    people = json_data["people"]
    return shown(sessions.count_heads(g.organiser, activity_id, group_session_id, people, read_clock()))[0]


@bp.put(f"{SESSION}/closure")
@granted("roster")
@per_account
@bp.output(GroupSessionOut)
def close(activity_id: int, group_session_id: int) -> dict[str, Any]:
    """Close a group session; what was ticked before and arrives later still counts"""
    return shown(sessions.close(g.organiser, activity_id, group_session_id, read_clock()))[0]


def shown(*found: GroupSession) -> list[dict[str, Any]]:
    """Sessions as GroupSessionOut wants them."""
    names = (
        "id", "activity_id", "sitting_id", "organisation_id", "reference", "place", "screen", "opened_at", "closed_at"
    )  # fmt: skip
    numbers = figures.of_sessions([one.id for one in found])
    return [{name: getattr(one, name) for name in names} | numbers[one.id] for one in found]


def read_tick(given: Any) -> Tick | ValidationError:
    """One tick, or why it cannot be read."""
    try:
        return Tick(**TickIn().load(given))
    except ValidationError as error:
        return error
