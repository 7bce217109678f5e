"""Shapes of errands: what their doors take and give."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line, Moment
from service.labels import LABELS
from service.org.errands.models import DIRECTIONS, FORMATS, STATES, SUBJECTS
from service.org.schemas import NodeOut
from service.org.tree.schemas import Day


class ImportQuery(Schema):
    """What the table in the body is, and as of which day it tells organisations; today if none is given."""

    subject = fields.String(load_default="roster", validate=validate.OneOf(SUBJECTS))
    day = Day(load_default=None)


class ExportIn(Schema):
    """Which table is wanted; organisations as of a day, today if none is given."""

    subject = fields.String(required=True, validate=validate.OneOf(SUBJECTS))
    format = fields.String(load_default="xlsx", validate=validate.OneOf(FORMATS))
    day = Day(load_default=None)


class AcceptanceIn(Schema):
    """The outcome that was seen."""

    outcome = Line(64, required=True)


class ProgressOut(Schema):
    """The step that is being done, how much of it is done, and of how much if that is known."""

    step = fields.String()
    done = fields.Integer()
    total = fields.Integer(allow_none=True)


class FailureOut(Schema):
    """Why it could not be done, as docs/errors.md names it."""

    code = fields.String()
    row = fields.Integer(metadata={"description": "The row at fault, where there is one."})
    reason = fields.String()
    missing = fields.List(fields.String())
    repeated = fields.List(fields.String())


class ErrandOut(Schema):
    """An import or export, and how far it is."""

    id = Id()
    direction = fields.String(validate=validate.OneOf(DIRECTIONS))
    subject = fields.String(validate=validate.OneOf(SUBJECTS))
    organisation = fields.Nested(NodeOut)
    format = fields.String(validate=validate.OneOf(FORMATS))
    day = fields.Date()
    label = fields.String(validate=validate.OneOf(list(LABELS)))
    state = fields.String(validate=validate.OneOf(STATES))
    progress = fields.Nested(ProgressOut, allow_none=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), allow_none=True)
    outcome = fields.String(allow_none=True)
    failure = fields.Nested(FailureOut, allow_none=True)
    created_at = Moment()
    expires_at = Moment()
    ended_at = Moment(allow_none=True)


class ErrandsOut(Schema):
    """Errands, the latest first."""

    errands = fields.List(fields.Nested(ErrandOut))


class DifferenceOut(Schema):
    """What would become, or became, of a row, in words."""

    row = fields.Integer()
    fate = fields.String()
    details = fields.String()


class DifferencesOut(Schema):
    """The first rows that change or are refused."""

    differences = fields.List(fields.Nested(DifferenceOut))
