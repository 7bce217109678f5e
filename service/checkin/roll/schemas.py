"""Shapes of the roll."""

from apiflask import Schema
from marshmallow import fields

from service.activity.schemas import ActivitySummary
from service.checkin.schemas import CheckInOut
from service.fields import Id, Moment


class BranchOut(Schema):
    """A highest node of the organiser's part of the tree."""

    id = Id()
    name = fields.String()
    level = fields.String()


class DeskOut(Schema):
    """Where an organiser keeps attendance, and of what."""

    branches = fields.List(fields.Nested(BranchOut))
    activities = fields.List(fields.Nested(ActivitySummary))


class NotedOut(CheckInOut):
    """A check-in with its history; `mine` if the organiser who asks entered it."""

    reason = fields.String(allow_none=True)
    annul_reason = fields.String(allow_none=True)
    assisted = fields.Boolean()
    mine = fields.Boolean()


class RollLeaveOut(Schema):
    """A request for leave."""

    id = Id()
    state = fields.String()
    reason = fields.String()


class LineOut(Schema):
    """Somebody on the roll."""

    member = Id()
    name = fields.String()
    organisation = fields.Integer()
    standing = fields.String(
        metadata={"description": "expected, exempt, guest; open where nobody is expected, or not yet"}
    )
    check_ins = fields.List(fields.Nested(NotedOut))
    leave = fields.Nested(RollLeaveOut, allow_none=True)
    made_up = fields.Boolean()


class RollOut(Schema):
    """A page of the roll; `after` begins the next one, null at the end."""

    activity = Id()
    node = Id()
    as_of = Moment()
    frozen = fields.Boolean(metadata={"description": "Whether somebody is expected, and so may be missing."})
    roll = fields.List(fields.Nested(LineOut))
    after = fields.String(allow_none=True)
