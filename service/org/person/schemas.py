"""Shapes of a person's rights."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line, Moment
from service.labels import LABELS


class HeldOut(Schema):
    """All that is held of a member: the rows of each table, as they are stored."""

    member = Id()
    label = fields.String(validate=validate.OneOf(list(LABELS)))
    held = fields.Dict(keys=fields.String(), values=fields.List(fields.Dict(keys=fields.String())))


class CorrectionIn(Schema):
    """What is to be corrected; what is not named stays."""

    name = Line(100)
    place_code = Line(20, allow_none=True)


class CorrectedOut(Schema):
    """Name and present place as they now are."""

    name = fields.String()
    place_code = fields.String(allow_none=True)


class ErasureIn(Schema):
    """The word that shows that the member means it."""

    confirm = fields.String(required=True, validate=validate.Equal("erase"))


class ConsentIn(Schema):
    """What is consented to, and the version of the notice that explained it."""

    purpose = Line(40, required=True)
    version = Line(40, required=True)


class ConsentOut(Schema):
    """A consent, until it is withdrawn."""

    purpose = fields.String()
    version = fields.String()
    given_at = Moment()
    withdrawn_at = Moment(allow_none=True)


class ConsentsOut(Schema):
    """A member's consents, the oldest first."""

    consents = fields.List(fields.Nested(ConsentOut))
