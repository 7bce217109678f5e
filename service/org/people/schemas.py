"""Shapes of people: what their doors take and give."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line, Moment
from service.org.models import CATEGORIES, STATUSES
from service.org.people.models import STANDINGS
from service.org.schemas import NodeOut, PlaceOut
from service.org.tree.schemas import Day


class NumbersOut(Schema):
    """The last characters of a member's numbers; null where there is none."""

    phone = fields.String(allow_none=True)
    identity = fields.String(allow_none=True)


class PersonOut(Schema):
    """A member as his organisers see him."""

    id = Id()
    name = fields.String()
    status = fields.String(validate=validate.OneOf(STATUSES))
    category = fields.String(validate=validate.OneOf(CATEGORIES), allow_none=True)
    organisation = fields.Nested(NodeOut)
    place = fields.Nested(PlaceOut, allow_none=True)
    tails = fields.Nested(NumbersOut)


class PersonEdit(Schema):
    """What is to change of a member; what is not named stays, null takes a number or the category away.

    Status and category change from the day `since`, today without one; it may lie back.
    """

    name = Line(50)
    status = fields.String(validate=validate.OneOf(STATUSES))
    category = fields.String(validate=validate.OneOf(CATEGORIES), allow_none=True)
    since = Day()
    phone = Line(32, allow_none=True)
    identity = Line(32, allow_none=True)


class StandingOut(Schema):
    """A change of status or category, from a day on, with what was before."""

    kind = fields.String(validate=validate.OneOf(STANDINGS))
    since = fields.Date()
    value = fields.String(allow_none=True)
    former = fields.String(allow_none=True)
    entered_at = Moment()


class StandingsOut(Schema):
    """Changes, the earliest first."""

    standings = fields.List(fields.Nested(StandingOut))


class StayIn(Schema):
    """A stay from a day on, perhaps until before another."""

    reason = Line(200, required=True)
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(load_default=None, allow_none=True)


class AttachmentIn(StayIn):
    """A stay with a receiving branch."""

    organisation_id = Id(required=True)


class ReceptionIn(StayIn):
    """A stay of the member whose certificate of activity was shown."""

    certificate = Line(4000, required=True)


class ReceivingOut(NodeOut):
    """A receiving branch; whose name a member is told once it has confirmed."""

    name = fields.String(allow_none=True)


class AttachmentOut(Schema):
    """An attachment; it is active between its days once both sides have confirmed it, until it is closed."""

    id = Id()
    member_id = Id()
    organisation = fields.Nested(ReceivingOut)
    reason = fields.String()
    starts_on = fields.Date()
    ends_on = fields.Date(allow_none=True)
    home_confirmed_at = Moment(allow_none=True)
    receiving_confirmed_at = Moment(allow_none=True)
    closed_on = fields.Date(allow_none=True)


class AttachmentsOut(Schema):
    """Attachments."""

    attachments = fields.List(fields.Nested(AttachmentOut))


class AttachmentsQuery(Schema):
    """Which attachments: active on a day, or waiting for a side to confirm."""

    on = fields.Date(load_default=None)
    waiting = fields.Boolean(load_default=False)


class OfficeIn(Schema):
    """An office from a day on."""

    organisation_id = Id(required=True)
    title = Line(50, required=True)
    starts_on = fields.Date(required=True)


class OfficeEnd(Schema):
    """The first day on which an office is no longer held."""

    ends_on = fields.Date(required=True)


class OfficeOut(Schema):
    """An office that a member holds or held."""

    id = Id()
    organisation = fields.Nested(NodeOut)
    title = fields.String()
    starts_on = fields.Date()
    ends_on = fields.Date(allow_none=True)


class OfficesQuery(Schema):
    """Which offices: those held on a day."""

    on = fields.Date(load_default=None)


class OfficesOut(Schema):
    """Offices, the earliest first."""

    offices = fields.List(fields.Nested(OfficeOut))


class CertificateOut(Schema):
    """A certificate of activity: a token that any branch can verify, and the same as a QR code."""

    token = fields.String()
    expires_at = Moment()
    qr = fields.String(metadata={"description": "The token as a QR code, in SVG."})


class KeyOut(Schema):
    """A public key as a JWK."""

    kty = fields.String()
    crv = fields.String()
    x = fields.String()
    kid = fields.String()
    alg = fields.String()
    use = fields.String()


class KeysOut(Schema):
    """A JWK set."""

    keys = fields.List(fields.Nested(KeyOut))
