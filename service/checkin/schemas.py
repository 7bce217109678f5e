"""Shapes of the checkin room."""

import re

from apiflask import Schema
from marshmallow import fields, validate
from marshmallow.validate import Regexp

from service.checkin.models import ASSISTED, FENCES
from service.errors import ServiceError, language_of_request, problem
from service.fields import Id, Line, Moment

REFERENCES = re.compile(r"[A-Za-z0-9._:-]{8,64}\Z")
REFERENCE = Regexp(REFERENCES)
MOST = 500


class CheckInIn(Schema):
    """An attempt; the client makes up `reference` once per check-in and sends it again with every retry."""

    reference = fields.String(required=True, validate=REFERENCE)
    sitting = Id(load_default=None, allow_none=True)
    happened_at = Moment(load_default=None, allow_none=True)


class OwnIn(CheckInIn):
    """A member's own attempt; with the `code` that a wall on site shows it is an on-site one.

    Where the phone is it compares with the venue by itself, and tells the result; a body with coordinates is refused.
    """

    code = Line(100, load_default=None, allow_none=True)
    device = fields.String(
        load_default=None,
        allow_none=True,
        validate=REFERENCE,
        metadata={"description": "Made up by the app when installed. Kept as a keyed hash, for this activity, a week."},
    )
    fence = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(FENCES),
        metadata={"description": "How the phone says it stands to the venue: a hint, and no proof."},
    )


class SocketIn(OwnIn):
    """The same over the members' socket."""

    activity = Id(required=True)


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
    confirmed_at = Moment(allow_none=True)


class EntryIn(CheckInIn):
    """What an organiser enters for a member."""

    member = Id(required=True)
    method = fields.String(required=True, validate=validate.OneOf(ASSISTED))
    reason = Line(200, load_default=None, allow_none=True)


class BatchIn(Schema):
    """Entries for many members. Each is read by itself: one that cannot be read leaves the others as they are."""

    check_ins = fields.List(
        fields.Raw(allow_none=True),
        required=True,
        validate=validate.Length(1, MOST),
        metadata={"description": "Each as EntryIn."},
    )


class EntryOut(Schema):
    """What became of one entry, in the order of the entries."""

    status = fields.Integer(metadata={"description": "201 new, 200 the first answer again, else as in `problem`."})
    check_in = fields.Nested(CheckInOut, allow_none=True)
    problem = fields.Dict(allow_none=True)


class BatchOut(Schema):
    """What became of each entry."""

    answers = fields.List(fields.Nested(EntryOut))


class AnnulIn(Schema):
    """Why a check-in is taken back."""

    reason = Line(200, required=True)


class CallIn(Schema):
    """Whose members are asked to check in: a sitting, or with null the one whose check-in is open."""

    sitting = Id(load_default=None, allow_none=True)


class CallOut(Schema):
    """That they were asked, and when."""

    sitting = Id(attribute="id")
    called_at = Moment(attribute="checkin_called_at")


class RefusalOut(Schema):
    """An attempt that was refused."""

    id = Id()
    member = fields.Integer(attribute="member_id", metadata={"description": "0 for what cannot be a member's number."})
    sitting = fields.Integer(attribute="sitting_id", allow_none=True)
    reference = fields.String()
    method = fields.String()
    code = fields.String()
    title = fields.Function(lambda refusal: problem(ServiceError(refusal.code), language_of_request())["title"])
    happened_at = Moment(allow_none=True)
    received_at = Moment()
    settled_at = Moment(allow_none=True)
    settlement = fields.String(allow_none=True)


class RefusalsOut(Schema):
    """Refusals that wait to be settled."""

    refusals = fields.List(fields.Nested(RefusalOut))


class SettlementIn(Schema):
    """What became of a refusal."""

    settlement = Line(200, required=True)
