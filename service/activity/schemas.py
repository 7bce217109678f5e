"""Shapes of the activity room: what its doors take and give."""

from zoneinfo import ZoneInfo

from apiflask import Schema
from marshmallow import ValidationError, fields
from marshmallow.validate import Length, OneOf, Range, Regexp

from service.activity.models import ATTENDANCES, KINDS, SOURCES, TIERS
from service.fields import Id, Line, Moment

# A page shows this as a link or plays it: an http address, or a Channels account's name; never a script.
ADDRESS = Regexp(r"(https?://[^\s\"'<>\\]+|sph[A-Za-z0-9]{3,64})\Z")


def known_timezone(name: str) -> None:
    """Refuse what is not a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValidationError("Unknown time zone.") from None


class SourceIn(Schema):
    """Where a stream can be watched."""

    kind = fields.String(required=True, validate=OneOf(SOURCES))
    url = Line(1000, required=True, validate=[ADDRESS])


class StreamIn(Schema):
    """A stream; with `id` one that is there. Its window is the sitting's unless said."""

    id = Id()
    title = Line(100)
    grace_seconds = fields.Integer(strict=True, validate=Range(0, 600))
    opens_at = Moment()
    closes_at = Moment()
    sources = fields.List(fields.Nested(SourceIn), validate=Length(max=8))


class SittingIn(Schema):
    """A sitting; with `id` one that is there. The check-in window is the sitting's own unless said."""

    id = Id()
    starts_at = Moment()
    ends_at = Moment()
    checkin_opens_at = Moment()
    checkin_closes_at = Moment()
    streams = fields.List(fields.Nested(StreamIn), validate=Length(max=8))


class SeriesIn(Schema):
    """A series by name, and which edition of it this is."""

    name = Line(100, required=True)
    edition = Line(20, required=True)


class OrganiserIn(Schema):
    """An organisation that holds the activity, and in which tier."""

    id = Id(required=True)
    tier = fields.String(required=True, validate=OneOf(TIERS))


class ActivityEdit(Schema):
    """Changes to an activity; what is not named stays."""

    kind = fields.String(validate=OneOf(KINDS))
    theme = Line(200)
    series = fields.Nested(SeriesIn, allow_none=True)
    attendance = fields.String(validate=OneOf(ATTENDANCES))
    timezone = Line(64, validate=[known_timezone])
    organisers = fields.List(fields.Nested(OrganiserIn), validate=Length(1, 50))
    invited = fields.List(
        Id(), validate=Length(max=500), metadata={"description": "Numbers of the subtrees' top organisations."}
    )
    sittings = fields.List(fields.Nested(SittingIn), validate=Length(1, 50))


class ActivityIn(ActivityEdit):
    """A new activity. Whether it is a rehearsal is said once, here."""

    kind = fields.String(required=True, validate=OneOf(KINDS))
    theme = Line(200, required=True)
    attendance = fields.String(load_default="open", validate=OneOf(ATTENDANCES))
    rehearsal = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    organisers = fields.List(fields.Nested(OrganiserIn), required=True, validate=Length(1, 50))
    sittings = fields.List(fields.Nested(SittingIn), required=True, validate=Length(1, 50))


class SeriesOut(Schema):
    """A series and the edition of it."""

    id = Id()
    name = fields.String()
    edition = fields.String()


class ActivityOrganiserOut(Schema):
    """An organisation that holds the activity."""

    id = Id(attribute="organisation.id")
    name = fields.String(attribute="organisation.name")
    tier = fields.String()


class StreamSummary(Schema):
    """A stream."""

    id = Id()
    title = fields.String()
    grace_seconds = fields.Integer()
    opens_at = Moment()
    closes_at = Moment()


class StreamDetail(StreamSummary):
    """A stream with its sources and the gateway to join it through."""

    sources = fields.List(fields.Nested(SourceIn))
    gateway = fields.String()


class SittingSummary(Schema):
    """A time window of an activity."""

    id = Id()
    starts_at = Moment()
    ends_at = Moment()
    checkin_opens_at = Moment()
    checkin_closes_at = Moment()
    streams = fields.List(fields.Nested(StreamSummary))


class SittingDetail(SittingSummary):
    """A time window with all that is needed to join."""

    streams = fields.List(fields.Nested(StreamDetail))


class ActivitySummary(Schema):
    """An activity in a list."""

    id = Id()
    kind = fields.String()
    theme = fields.String()
    series = fields.Nested(SeriesOut, allow_none=True)
    attendance = fields.String()
    rehearsal = fields.Boolean()
    timezone = fields.String()
    organisers = fields.List(fields.Nested(ActivityOrganiserOut))
    sittings = fields.List(fields.Nested(SittingSummary))


class ActivityDetail(ActivitySummary):
    """An activity with all that a member needs to take part, and what he has done already."""

    sittings = fields.List(fields.Nested(SittingDetail))
    my_check_ins = fields.List(fields.Dict(), metadata={"description": "As POST …/check-ins answers them."})


class ActivitiesOut(Schema):
    """A list of activities."""

    activities = fields.List(fields.Nested(ActivitySummary))
