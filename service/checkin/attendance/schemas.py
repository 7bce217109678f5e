"""Shapes of attendance."""

from apiflask import Schema
from marshmallow import fields, validate

from service.checkin.attendance.completion import SOURCES
from service.checkin.attendance.models import MAKE_UP_KINDS
from service.checkin.models import DENOMINATORS
from service.checkin.schemas import REFERENCE
from service.fields import Id, Line, Moment


class FenceIn(Schema):
    """A venue: within so many metres of it a phone is `inside`, within three times as many `near`, else `far`."""

    latitude = fields.Float(required=True, validate=validate.Range(-90, 90))
    longitude = fields.Float(required=True, validate=validate.Range(-180, 180))
    metres = fields.Integer(required=True, validate=validate.Range(50, 10_000), strict=True)


class TermsIn(Schema):
    """How an activity takes check-ins; what is not named is as by default."""

    denominator = fields.String(load_default="expected", validate=validate.OneOf(DENOMINATORS))
    late_minutes = fields.Integer(load_default=0, validate=validate.Range(0, 240), strict=True)
    offline_minutes = fields.Integer(load_default=120, validate=validate.Range(0, 2880), strict=True)
    assisted_hours = fields.Integer(load_default=72, validate=validate.Range(0, 720), strict=True)
    proxy_cap = fields.Integer(load_default=5, validate=validate.Range(0, 500), strict=True)
    makeup_days = fields.Integer(load_default=30, validate=validate.Range(0, 366), strict=True)
    live_minutes = fields.Integer(
        load_default=0,
        validate=validate.Range(0, 1440),
        strict=True,
        metadata={"description": "Asked for beside a check-in from afar; 0, the default, asks for none."},
    )
    replay = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Whether a replay is asked for beside a check-in from afar, or else the minutes."},
    )
    fence = fields.Nested(FenceIn, load_default=None, allow_none=True)


class NodeQuery(Schema):
    """A node of the tree."""

    node = fields.Integer(required=True, validate=validate.Range(1, 2**63 - 1))


class SheetQuery(NodeQuery):
    """A node, and perhaps the sitting whose check-ins are shown; without one the first of each member."""

    sitting = fields.Integer(load_default=None, validate=validate.Range(1, 2**63 - 1))


class MissingQuery(NodeQuery):
    """A node, and behind whom the page begins."""

    after = fields.String(load_default="", validate=validate.Regexp(r"([0-9.]{1,400}:[0-9]{1,18})?\Z"))


class SumsOut(Schema):
    """People on the roster; absent are those expected who are neither present nor on leave."""

    expected = fields.Integer()
    exempt = fields.Integer()
    present = fields.Integer()
    exempt_present = fields.Integer()
    on_leave = fields.Integer()
    made_up = fields.Integer()
    completed = fields.Integer(metadata={"description": "Of those expected, who has the activity's credit."})
    absent = fields.Integer()
    rate = fields.Float(allow_none=True, metadata={"description": "present ÷ expected, by `denominator`"})


class ChildOut(SumsOut):
    """The same of one child, or of who is at home at the node itself (`node` 0)."""

    node = fields.Integer()


class MethodOut(Schema):
    """Attendances by one method."""

    attendances = fields.Integer()
    late = fields.Integer()
    unconfirmed = fields.Integer()


class CompletionTermsOut(Schema):
    """What completes the activity beside a check-in from afar."""

    live_minutes = fields.Integer()
    replay = fields.Boolean()


class CreditOut(Schema):
    """Whether one has completed an activity, by what, or what is missing; of several either will do."""

    source = fields.String(allow_none=True, validate=validate.OneOf(SOURCES))
    missing = fields.List(fields.String(validate=validate.OneOf(("check_in", "live", "replay"))))
    asked = fields.Nested(CompletionTermsOut)


class ScreensOut(Schema):
    """Group sessions by where the screens stood: names, who are among those present, and heads, which are in no sum."""

    sessions = fields.Integer()
    counted = fields.Integer(metadata={"description": "Sessions with a headcount."})
    headcount = fields.Integer(metadata={"description": "Heads counted without names: of a lower grade, in no sum."})
    ticked = fields.Integer(metadata={"description": "Attendances ticked by name."})


class ChildScreensOut(ScreensOut):
    """The same of one child, or of the node itself (`node` 0)."""

    node = fields.Integer()


class CollectiveOut(ScreensOut):
    """Collective viewing at a node and at its children."""

    children = fields.List(fields.Nested(ChildScreensOut))


class AttendanceOut(Schema):
    """Attendance at a node. People, except in `methods` and `collective`."""

    activity = Id()
    node = Id()
    as_of = Moment()
    basis = fields.String()
    attendance = fields.String()
    frozen_at = Moment(allow_none=True)
    roster_of = fields.Date(allow_none=True)
    unit = fields.String()
    denominator = fields.String(allow_none=True)
    sums = fields.Nested(SumsOut, allow_none=True)
    children = fields.List(fields.Nested(ChildOut))
    staying = fields.Nested(SumsOut, allow_none=True)
    guests = fields.Integer(metadata={"description": "Who came without being on the roster; of an open activity, all."})
    methods = fields.Dict(values=fields.Nested(MethodOut))
    credits = fields.Dict(
        keys=fields.String(validate=validate.OneOf(SOURCES)),
        values=fields.Integer(),
        metadata={"description": "People by the source of their one credit: of those expected, else of all who came."},
    )
    asked = fields.Nested(CompletionTermsOut)
    collective = fields.Nested(CollectiveOut)


class MissingOneOut(Schema):
    """Somebody who is missing."""

    member = Id()
    name = fields.String()
    organisation = fields.Integer()


class MissingOut(Schema):
    """Who is missing now; `after` begins the next page, null at the end."""

    missing = fields.List(fields.Nested(MissingOneOut))
    after = fields.String(allow_none=True)


class LeaveIn(Schema):
    """Why one cannot come."""

    reason = Line(200, required=True)


class LeaveForIn(LeaveIn):
    """Why a member cannot come."""

    member = Id(required=True)


class DecisionIn(Schema):
    """Whether a leave is approved."""

    approved = fields.Boolean(required=True, truthy={True}, falsy={False})


class LeaveOut(Schema):
    """A request for leave, and what was decided."""

    id = Id()
    member = Id(attribute="member_id")
    reason = fields.String()
    state = fields.String()
    asked_at = Moment()
    decided_at = Moment(allow_none=True)
    decided_by = fields.Integer(allow_none=True)


class LeavesOut(Schema):
    """Requests for leave."""

    leaves = fields.List(fields.Nested(LeaveOut))


class MakeUpIn(Schema):
    """What a member did instead."""

    member = Id(required=True)
    reference = fields.String(required=True, validate=REFERENCE)
    kind = fields.String(required=True, validate=validate.OneOf(MAKE_UP_KINDS))
    check_in = Id(load_default=None, allow_none=True)
    reason = Line(200, required=True)
    happened_at = Moment(required=True)


class MakeUpOut(Schema):
    """A make-up, beside the absence."""

    id = Id()
    activity = Id(attribute="activity_id")
    member = Id(attribute="member_id")
    reference = fields.String()
    kind = fields.String()
    check_in = fields.Integer(attribute="check_in_id", allow_none=True)
    reason = fields.String()
    happened_at = Moment()
    received_at = Moment()
    annulled_at = Moment(allow_none=True)
    annul_reason = fields.String(allow_none=True)


class MakeUpsOut(Schema):
    """Make-ups of an activity."""

    make_ups = fields.List(fields.Nested(MakeUpOut))


class OwnOut(Schema):
    """How a member stands in an activity, beside his check-ins."""

    expected = fields.Boolean(allow_none=True, metadata={"description": "Null until the roster is frozen."})
    leave = fields.Nested(LeaveOut, allow_none=True)
    make_up = fields.Nested(MakeUpOut, allow_none=True)
    make_up_until = Moment(allow_none=True, metadata={"description": "Null where there is nothing to make up for."})
    credit = fields.Nested(CreditOut)
    fence = fields.Nested(FenceIn, allow_none=True)


class GuestIn(Schema):
    """Who may come as a guest."""

    member = Id(required=True)


class ExemptionIn(Schema):
    """Why nobody expects a member, from one day until before another."""

    reason = Line(200, required=True)
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(load_default=None, allow_none=True)


class ExemptionOut(ExemptionIn):
    """An exemption."""

    id = Id()
    member = Id(attribute="member_id")


class ExemptionsOut(Schema):
    """A member's exemptions."""

    exemptions = fields.List(fields.Nested(ExemptionOut))
