"""Nodes of the tree as of an activity's day."""

from datetime import datetime

from service.activity.models import Activity
from service.checkin.attendance import roster
from service.clock import day_of
from service.home import rehearsed
from service.org.organisers import Organiser
from service.org.people.scope import branch_of
from service.org.tree import asof


def path_of(organiser: Organiser, activity: Activity, node: int, now: datetime) -> str:
    """The path that rows of the activity have at a node of the organiser's part of the tree, as of its day.

    ServiceError not_found for any other node.
    """
    today = branch_of(organiser, node).path
    frozen = roster.of(activity.id)
    there = asof.paths(node, frozen.as_of if frozen else day_of(now))
    path = there[0] if there else today
    return rehearsed(path) if activity.rehearsal else path
