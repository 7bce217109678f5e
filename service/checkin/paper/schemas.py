"""Shapes of paper lists."""

from apiflask import Schema
from apiflask.fields import File
from marshmallow import fields, validate

from service.fields import MAX_ID, Moment

FATES = ("entered", "same", "there", "unsigned", "refused")


class PaperListIn(Schema):
    """A list as XLSX, XLS or CSV with the columns 党员编号 and 姓名; of one sitting, the only one if none is named."""

    file = File(required=True)  # type: ignore[no-untyped-call]
    sitting = fields.Integer(load_default=None, validate=validate.Range(1, MAX_ID))
    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only to see what would become of it."})
    whole = fields.Boolean(load_default=False, metadata={"description": "All of it, or nothing if a row is refused."})


class PaperRowOut(Schema):
    """What became of a row, or would."""

    row = fields.Integer(metadata={"description": "As the sheet numbers it; the headings are 1."})
    fate = fields.String(
        validate=validate.OneOf(FATES),
        metadata={"description": "`same`: entered before by this list; `there`: checked in otherwise."},
    )
    member = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    explanation = fields.String(allow_none=True)
    happened_at = Moment(allow_none=True)


class PaperListOut(Schema):
    """What became of every row; if not `written`, what would."""

    written = fields.Boolean()
    counts = fields.Dict(values=fields.Integer())
    rows = fields.List(fields.Nested(PaperRowOut))
