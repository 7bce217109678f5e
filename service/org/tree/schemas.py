"""Shapes of the tree's doors."""

from datetime import date
from typing import Any

from apiflask import Schema
from marshmallow import ValidationError, fields, validate, validates_schema

from service.fields import Id, Line, Moment
from service.org.models import JOINT_KINDS, ORGANISATION_LEVELS
from service.org.schemas import NodeOut
from service.org.tree.models import KINDS

EARLIEST, LATEST = date(1900, 1, 1), date(2100, 1, 1)
MOST = 1_000
# What each kind of change says beside its day.
SAYS = {"moved": "to", "merged": "to", "joined": "to", "parted": "to", "renamed": "name"}


class Day(fields.Date):
    """A civil day in China."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Range(EARLIEST, LATEST), **options)


class AsOfIn(Schema):
    """As of which day; today if none is given."""

    as_of = Day(load_default=None)


class PageIn(AsOfIn):
    """A page of a subtree, behind the path that the last one ended with."""

    after = Line(400, load_default="")
    limit = fields.Integer(load_default=200, validate=validate.Range(1, MOST))


class OrganisationOut(Schema):
    """An organisation as it stood on the day."""

    id = Id()
    name = fields.String()
    level = fields.String()
    code = fields.String(allow_none=True)
    division_code = fields.String(allow_none=True)
    joint = fields.String(allow_none=True, metadata={"description": "What a joint body is for."})
    home = fields.Boolean(metadata={"description": "False where a joint body stands below one of its other parents."})
    path = fields.String()


class OrganisationDetail(OrganisationOut):
    """With the ways from the top to it, and its end."""

    lineages = fields.List(fields.List(fields.Nested(NodeOut)))
    closed_on = fields.Date(allow_none=True)
    successor = Id(allow_none=True)


class OrganisationsOut(Schema):
    """Organisations, parents first; `next` is the `after` of the next page."""

    organisations = fields.List(fields.Nested(OrganisationOut))
    next = fields.String(allow_none=True)


class OrganisationIn(Schema):
    """A new organisation."""

    name = Line(200, required=True)
    level = fields.String(required=True, validate=validate.OneOf(ORGANISATION_LEVELS))
    parent = Id(required=True)
    on = Day(load_default=None)
    division_code = Line(12, load_default=None, allow_none=True)
    code = Line(64, load_default=None, allow_none=True)
    joint = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(JOINT_KINDS))


class ChangeIn(Schema):
    """A change from a day on: `to` is the other organisation, `until` ends a further parent of a joint body."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    on = Day(load_default=None)
    to = Id(load_default=None)
    until = Day(load_default=None, allow_none=True)
    name = Line(200, load_default=None)

    @validates_schema
    def says_what(self, data: dict[str, Any], **_: Any) -> None:
        """Each kind needs what it says."""
        needed = SAYS.get(data["kind"])
        if needed and data[needed] is None:
            raise ValidationError("Missing data for required field.", needed)


class ChangeOut(Schema):
    """A change as it was entered."""

    kind = fields.String()
    on = fields.Date(attribute="effective_on")
    to = Id(attribute="other_id", allow_none=True)
    former_name = fields.String(allow_none=True)
    entered_by = Id(allow_none=True)
    entered_at = Moment()


class ChangesOut(Schema):
    """All changes of one organisation, the earliest first."""

    changes = fields.List(fields.Nested(ChangeOut))
