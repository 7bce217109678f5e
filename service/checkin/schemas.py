"""Shapes of the checkin room."""

from apiflask import Schema
from marshmallow import fields
from marshmallow.validate import Regexp

from service.fields import Id, Moment


class CheckInIn(Schema):
    """An attempt; the client makes up `reference` once per check-in and sends it again with every retry."""

    reference = fields.String(required=True, validate=Regexp(r"[A-Za-z0-9._:-]{8,64}\Z"))
    sitting = Id(load_default=None, allow_none=True)
    happened_at = Moment(load_default=None, allow_none=True)


class CheckInOut(Schema):
    """A member's attendance record."""

    id = Id()
    activity = Id(attribute="activity_id")
    sitting = Id(attribute="sitting_id")
    reference = fields.String()
    method = fields.String()
    happened_at = Moment()
    received_at = Moment()
    late = fields.Boolean()
    annulled_at = Moment(allow_none=True)
