"""Shapes of collective viewing."""

from apiflask import Schema
from marshmallow import fields, validate

from service.checkin.group.models import SCREENS
from service.checkin.schemas import MOST, REFERENCE
from service.fields import Id, Line, Moment


class GroupSessionIn(Schema):
    """A branch that watches together; the client makes up `reference` once and sends it again with every retry."""

    reference = fields.String(required=True, validate=REFERENCE)
    organisation = Id(required=True)
    place = Line(200, required=True)
    screen = fields.String(required=True, validate=validate.OneOf(SCREENS))
    sitting = Id(load_default=None, allow_none=True)


class GroupSessionOut(Schema):
    """A group session: names that were ticked, and heads that were counted, which are another figure."""

    id = Id()
    activity = Id(attribute="activity_id")
    sitting = Id(attribute="sitting_id")
    organisation = Id(attribute="organisation_id")
    reference = fields.String()
    place = fields.String()
    screen = fields.String()
    opened_at = Moment()
    closed_at = Moment(allow_none=True)
    ticked = fields.Integer()
    headcount = fields.Integer(allow_none=True)


class GroupSessionsOut(Schema):
    """Group sessions."""

    group_sessions = fields.List(fields.Nested(GroupSessionOut))


class TickIn(Schema):
    """That a member is before the screen."""

    member = Id(required=True)
    reference = fields.String(required=True, validate=REFERENCE)
    happened_at = Moment(load_default=None, allow_none=True)


class TicksIn(Schema):
    """Ticks of many members. Each is read by itself: one that cannot be read leaves the others as they are."""

    ticks = fields.List(
        fields.Raw(allow_none=True),
        required=True,
        validate=validate.Length(1, MOST),
        metadata={"description": "Each as TickIn."},
    )


class HeadcountIn(Schema):
    """How many heads there are before the screen, named or not."""

    people = fields.Integer(required=True, strict=True, validate=validate.Range(0, 100_000))
