"""Shapes of the divisions' doors."""

from typing import Any

from apiflask import Schema
from marshmallow import ValidationError, fields, validate, validates_schema

from service.fields import Id, Line, Moment
from service.org.geography.models import KINDS
from service.org.models import LEVELS
from service.org.tree.schemas import AsOfIn, Day


class LookupIn(AsOfIn):
    """A name with a division above it, or a level, or both; or a division alone, to list those directly below it."""

    name = Line(64, load_default=None)
    parent = Line(12, load_default=None)
    level = fields.String(load_default=None, validate=validate.OneOf(LEVELS))


class DivisionOut(Schema):
    """A division as it was on the day."""

    code = fields.String()
    name = fields.String()
    level = fields.String()
    parent_code = fields.String(allow_none=True)
    parent_name = fields.String(allow_none=True)
    valid_from = fields.Date(allow_none=True)
    valid_to = fields.Date(allow_none=True, metadata={"description": "The last day on which it is valid."})
    successor_code = fields.String(allow_none=True)


class DivisionsOut(Schema):
    """Every division that the question fits; a name that fits several is for the asker to decide."""

    divisions = fields.List(fields.Nested(DivisionOut))
    ambiguous = fields.Boolean()


class DivisionChangeIn(Schema):
    """A change from a day on: `renamed` to a name, `moved` below a parent, or `abolished`, perhaps for a successor."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    on = Day(load_default=None)
    name = Line(64, load_default=None)
    parent = Line(12, load_default=None)
    successor = Line(12, load_default=None, allow_none=True)

    @validates_schema
    def says_what(self, data: dict[str, Any], **_: Any) -> None:
        """A renaming needs a name, a move a parent."""
        needed = {"renamed": "name", "moved": "parent"}.get(data["kind"])
        if needed and data[needed] is None:
            raise ValidationError("Missing data for required field.", needed)


class DivisionChangeOut(Schema):
    """A change as it was entered, with what had been."""

    kind = fields.String()
    on = fields.Date(attribute="effective_on")
    former_name = fields.String(allow_none=True)
    former_parent_code = fields.String(allow_none=True)
    entered_by = Id(allow_none=True)
    entered_at = Moment()


class DivisionChangesOut(Schema):
    """All changes of one division, the earliest first."""

    changes = fields.List(fields.Nested(DivisionChangeOut))


class GeographySetOut(Schema):
    """A set of divisions as it was on the day, and the prefectures that they lay in."""

    key = fields.String()
    name = fields.String()
    divisions = fields.List(fields.Nested(DivisionOut))
    prefectures = fields.List(fields.Nested(DivisionOut))
