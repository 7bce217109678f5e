"""REST doors of flags."""

from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.auth import granted
from service.checkin.flags import reviewing
from service.checkin.flags.schemas import FlagOut, FlagsOut, ResolutionIn
from service.checkin.models import CheckIn
from service.checkin.scope import activity_of, reached
from service.clock import now as read_clock
from service.limits import per_account

bp = APIBlueprint("flags", __name__, tag="Flags")

FLAGS = "/activities/<int(max=9223372036854775807):activity_id>/flags"


@bp.get(FLAGS)
@granted("roster")
@bp.output(FlagsOut)
def list_flags(activity_id: int) -> dict[str, Any]:
    """List what looks odd about check-ins of members of the organiser's part of the tree, the latest 500

    Unresolved ones first. A flag blocks nothing and changes no figure.
    """
    activity_of(g.organiser, activity_id)
    visible = reached(g.organiser, CheckIn.member_id, read_clock())
    return {"flags": reviewing.of_activity(activity_id, visible)}


@bp.put(f"{FLAGS}/<int(max=9223372036854775807):flag_id>/resolution")
@granted("roster")
@per_account
@bp.input(ResolutionIn)
@bp.output(FlagOut)
def resolve(activity_id: int, flag_id: int, json_data: dict[str, Any]) -> Any:
    """Say what a flag was; the first resolution stays

    Nothing follows by itself: who finds a check-in wrong annuls it.
    """
    activity_of(g.organiser, activity_id)
    now = read_clock()
    visible = reached(g.organiser, CheckIn.member_id, now)
    return reviewing.resolve(activity_id, flag_id, visible=visible, by=g.organiser.id, now=now, **json_data)._asdict()
