"""Shapes of gates."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line, Moment


class GateIn(Schema):
    """A new gate."""

    name = Line(50, required=True)


class GateOut(Schema):
    """A gate."""

    id = Id()
    activity = Id(attribute="activity_id")
    name = fields.String()
    paired_at = Moment(allow_none=True)
    revoked_at = Moment(allow_none=True)
    pairing_expires_at = Moment(allow_none=True)


class GateWithCode(GateOut):
    """A gate and the code that pairs a device with it: told once, good once."""

    code = fields.String()


class GatesOut(Schema):
    """An activity's gates."""

    gates = fields.List(fields.Nested(GateOut))


class PairIn(Schema):
    """The one-time code."""

    code = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9 -]{16,24}\Z"))


class PairedOut(Schema):
    """What a device needs to show codes by itself: a key, and the sittings that it may show them for."""

    gate = Id()
    activity = Id()
    sittings = fields.List(Id())
    key = fields.String(metadata={"description": "base64url, 32 bytes"})
    slot_seconds = fields.Integer()
    now = Moment(metadata={"description": "The server's clock: a gate shows codes by this one."})


class ProofIn(Schema):
    """Which gate a device is, and that it has its key."""

    gate = Id(required=True)
    proof = fields.String(
        required=True,
        validate=validate.Regexp(r"[A-Za-z0-9_-]{43}=\Z"),
        metadata={"description": "base64url of HMAC-SHA-256 of `state` under the key"},
    )


class SittingOut(Schema):
    """When a sitting takes codes."""

    id = Id()
    opens_at = Moment()
    closes_at = Moment()


class StateOut(Schema):
    """What a gate's page shows beside the code, and the server's clock."""

    gate = Id()
    name = fields.String()
    activity = Id()
    theme = fields.String()
    rehearsal = fields.Boolean()
    timezone = fields.String()
    address = fields.String(metadata={"description": "The phone page of the activity, to which `#code=` is added."})
    sittings = fields.List(fields.Nested(SittingOut))
    slot_seconds = fields.Integer()
    now = Moment()
