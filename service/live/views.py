"""REST doors of the live room."""

from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.auth import granted
from service.live.curves import read_curve
from service.live.schemas import CurveOut, CurveQuery

bp = APIBlueprint("live", __name__, tag="Live")


@bp.get("/streams/<int(max=9223372036854775807):stream_id>/curve")
@granted("activities")
@bp.input(CurveQuery, location="query")
@bp.output(CurveOut)
def curve(stream_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show a stream's curve

    Its exact figures over time, or the members online at one node once a minute, and the times without exact figures;
    for the organisers of its activity.
    """
    return read_curve(g.organiser, stream_id, **query_data)
