"""Shapes of the live room: the curve, and what passes the organisers' socket."""

from typing import Any

from apiflask import Schema
from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from service.fields import MAX_ID, Id, Line, Moment


class CurveQuery(Schema):
    """Whose curve is asked for, and which part of it."""

    organisation = fields.Integer(
        validate=Range(1, MAX_ID), metadata={"description": "An organisation of one's own part, to the county."}
    )
    place = Line(12, validate=[Length(2)], metadata={"description": "A division's code, to the county."})
    since = Moment(metadata={"description": "Only points after this time, and outages that end after it."})

    @validates_schema
    def one_tree(self, data: dict[str, Any], **_: Any) -> None:
        """Home and place are two views of the same people."""
        if "organisation" in data and "place" in data:
            raise ValidationError("An organisation or a place, not both.", "place")


class PointOut(Schema):
    """The exact figures of one moment; of a node, `online` alone, null where it is not shown."""

    at = Moment()
    online = fields.Integer(allow_none=True)
    connections = fields.Integer()
    joined = fields.Integer()
    checked_in = fields.Integer()


class OutageOut(Schema):
    """A time without exact figures, between the points around it."""

    began_at = Moment(data_key="from")
    ended_at = Moment(data_key="to")
    reason = fields.String()


class CurveOut(Schema):
    """A recorded curve: of a stream every few seconds while it was open, of a node every minute."""

    stream = fields.Integer()
    organisation = fields.Integer(allow_none=True)
    place = fields.String(allow_none=True)
    points = fields.List(fields.Nested(PointOut))
    outages = fields.List(fields.Nested(OutageOut))


class WatchIn(Schema):
    """A subscription: a stream, and a node of either tree."""

    stream = Id(required=True)
    organisation = Id(allow_none=True)
    place = Line(12, allow_none=True, validate=[Length(2)])


class UnwatchIn(Schema):
    """The end of a subscription."""

    stream = fields.Integer(required=True, strict=True, validate=Range(1, MAX_ID))


class HomeOut(Schema):
    """An organisation with its members online, and those who have checked in."""

    id = fields.Integer()
    name = fields.String()
    online = fields.Integer(allow_none=True)
    checked_in = fields.Integer(allow_none=True)


class PlaceOut(Schema):
    """A division with the members online that are present there, and those who have checked in there."""

    code = fields.String()
    name = fields.String()
    online = fields.Integer(allow_none=True)
    checked_in = fields.Integer(allow_none=True)


class TurnoutOut(Schema):
    """Check-ins of the stream's sitting that stand, as PostgreSQL had them; the nodes' `checked_in` are of it too."""

    as_of = Moment(allow_none=True)
    basis = fields.String()
    reason = fields.String(allow_none=True)
    total = fields.Integer(allow_none=True)
    methods = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))


class SnapshotOut(Schema):
    """The figures of one subscription: absolute, with their time and what they are good for."""

    stream = fields.Integer()
    epoch = fields.String()
    seq = fields.Integer()
    as_of = Moment()
    basis = fields.String()
    reason = fields.String(allow_none=True)
    in_doubt = fields.Integer()
    online = fields.Integer(allow_none=True)
    connections = fields.Integer(allow_none=True)
    joined = fields.Integer(allow_none=True)
    peak = fields.Integer(allow_none=True)
    peak_at = Moment(allow_none=True)
    peak_basis = fields.String(allow_none=True)
    checked_in = fields.Integer(allow_none=True)
    organisation = fields.Nested(HomeOut, allow_none=True)
    organisations = fields.List(fields.Nested(HomeOut))
    place = fields.Nested(PlaceOut, allow_none=True)
    places = fields.List(fields.Nested(PlaceOut))
    channels = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))
    sources = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))
    check_ins = fields.Nested(TurnoutOut)
