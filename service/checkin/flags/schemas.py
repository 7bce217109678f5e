"""Shapes of flags."""

from apiflask import Schema
from marshmallow import fields, validate

from service.checkin.flags.models import KINDS
from service.checkin.models import FENCES
from service.fields import Id, Line, Moment


class FlaggedOut(Schema):
    """A check-in that a flag is about."""

    id = Id()
    member = Id(attribute="member_id")
    activity = Id(attribute="activity_id")
    method = fields.String()
    fence = fields.String(allow_none=True, validate=validate.OneOf(FENCES))
    happened_at = Moment()
    annulled_at = Moment(allow_none=True)


class FlagOut(Schema):
    """Something odd; `people` counts members of other parts of the tree too, `check_ins` shows those of one's own."""

    id = Id(attribute="flag.id")
    kind = fields.String(
        attribute="flag.kind",
        validate=validate.OneOf(KINDS),
        metadata={"description": "One device for many members, a burst from one code, or two places at once."},
    )
    raised_at = Moment(attribute="flag.raised_at")
    people = fields.Integer()
    check_ins = fields.List(fields.Nested(FlaggedOut))
    resolved_at = Moment(attribute="flag.resolved_at", allow_none=True)
    note = fields.String(attribute="flag.note", allow_none=True)


class FlagsOut(Schema):
    """Flags of an activity."""

    flags = fields.List(fields.Nested(FlagOut))


class ResolutionIn(Schema):
    """What a flag was, in the words of who looked at it."""

    note = Line(200, required=True)
