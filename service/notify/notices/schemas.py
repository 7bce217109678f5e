"""Shapes of notices."""

from zoneinfo import available_timezones

from apiflask import Schema
from apiflask.fields import Dict, Integer, List, Nested, String
from marshmallow import ValidationError, validates_schema
from marshmallow.validate import Length, OneOf, Range, Regexp

from service.fields import MAX_ID, Line, Moment
from service.notify.notices.audience import ORDER
from service.notify.notices.kinds import KINDS, LANGUAGES
from service.notify.notices.models import DEVICE_CHANNELS, FATES, INBOX, STATES

CLOCK = Regexp(r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", error="A time of day, as 22:00.")
CHANNELS = (*ORDER, INBOX)


def known_zone(text: str) -> None:
    """Refuse what is no name of a time zone."""
    if text not in available_timezones():
        raise ValidationError("No such time zone.")


class PageIn(Schema):
    """Which part of a list."""

    before = Integer(load_default=None, validate=Range(1, MAX_ID))
    limit = Integer(load_default=50, validate=Range(1, 200))


class FatesIn(PageIn):
    """Which deliveries to list."""

    state = String(load_default=None, validate=OneOf(FATES))


class InboxItemOut(Schema):
    """What a member was told, in the member's language."""

    id = Integer()
    kind = String(validate=OneOf(list(KINDS)))
    activity = Integer(allow_none=True)
    title = String()
    text = String()
    told_at = Moment()
    read_at = Moment(allow_none=True)


class InboxOut(Schema):
    """A page of the inbox; `next` continues it as `before`, null at the end."""

    notices = List(Nested(InboxItemOut))
    next = Integer(allow_none=True)


class PreferenceIn(Schema):
    """How a member wants to be told. Null channels: all, in the installation's order; those not named are unwanted."""

    language = String(required=True, allow_none=True, validate=OneOf(LANGUAGES))
    timezone = Line(64, required=True, validate=[known_zone])
    quiet_from = String(required=True, allow_none=True, validate=CLOCK)
    quiet_until = String(required=True, allow_none=True, validate=CLOCK)
    channels = List(String(validate=OneOf(ORDER)), required=True, allow_none=True, validate=Length(0, len(ORDER)))

    @validates_schema
    def whole(self, data: dict[str, object], **_: object) -> None:
        """Hours of quiet begin and end."""
        if (data["quiet_from"] is None) != (data["quiet_until"] is None):
            raise ValidationError("Both or none.", "quiet_until")


class PreferenceOut(Schema):
    """How a member wants to be told."""

    language = String(allow_none=True)
    timezone = String()
    quiet_from = String(allow_none=True)
    quiet_until = String(allow_none=True)
    channels = List(String(), allow_none=True)


class DeviceIn(Schema):
    """Where the member's app is reached."""

    channel = String(required=True, validate=OneOf(DEVICE_CHANNELS))
    address = Line(500, required=True)


class SubscriptionsIn(Schema):
    """What WeChat's dialog brought; `reference` names this one showing of it, so that a repeat counts once."""

    reference = Line(64, required=True)
    choices = Dict(keys=Line(64), values=String(validate=OneOf(("accept", "reject", "ban", "filter"))), required=True)


class CountOut(Schema):
    """How many deliveries share channel, fate and last error; `repeats` of them may have come twice."""

    node = Integer()
    channel = String(validate=OneOf(CHANNELS))
    state = String(validate=OneOf(FATES))
    last_error = String(allow_none=True)
    count = Integer()
    read = Integer()
    repeats = Integer()


class NoticeOut(Schema):
    """A notice."""

    id = Integer()
    kind = String(validate=OneOf(list(KINDS)))
    state = String(validate=OneOf(STATES))
    due_at = Moment()
    expires_at = Moment()
    told_at = Moment(allow_none=True)


class NoticeDetail(NoticeOut):
    """A notice and what became of it."""

    counts = List(Nested(CountOut))


class NoticesOut(Schema):
    """The notices of an activity, the newest first."""

    notices = List(Nested(NoticeOut))


class NodesOut(Schema):
    """What became of a notice, node by node."""

    nodes = List(Nested(CountOut))


class FateOut(Schema):
    """One delivery and what came of it."""

    id = Integer()
    notice = Integer(attribute="notice_id")
    member = Integer(attribute="member_id")
    channel = String(attribute="lane", validate=OneOf(CHANNELS))
    state = String(validate=OneOf(FATES))
    attempts = Integer()
    repeats = Integer()
    due_at = Moment()
    last_error = String(allow_none=True)
    delivered_at = Moment(allow_none=True)
    read_at = Moment(allow_none=True)


class FatesOut(Schema):
    """A page of deliveries; `next` continues it as `before`, null at the end."""

    deliveries = List(Nested(FateOut))
    next = Integer(allow_none=True)


class TextIn(Schema):
    """A text of one's own."""

    title = Line(20)
    text = Line(200, required=True)


class PreviewIn(Schema):
    """What would be told, and to whom: everybody, who read nothing of it, who is missing; below a node, in a place."""

    kind = String(required=True, validate=OneOf(("announced", "own_text", "missing")))
    to = String(load_default="everybody", validate=OneOf(("everybody", "unread", "missing")))
    below = Integer(load_default=None, allow_none=True, validate=Range(1, MAX_ID))
    place = String(
        load_default=None,
        allow_none=True,
        validate=Length(max=12),
        metadata={"description": "A division's code: whose present place is there or below."},
    )

    @validates_schema
    def missed(self, data: dict[str, object], **_: object) -> None:
        """Who is there is not told that he is missing."""
        if data.get("kind") == "missing" and data.get("to") != "missing":
            raise ValidationError("missing is told to the missing.", "to")


class TellIn(PreviewIn):
    """What is told, and to whom."""

    reference = Line(64, required=True)
    texts = Dict(keys=String(validate=OneOf(LANGUAGES)), values=Nested(TextIn), load_default=dict)

    @validates_schema
    def said(self, data: dict[str, object], **_: object) -> None:
        """An own text says something, and another has a text already."""
        if bool(data.get("texts")) != (data.get("kind") == "own_text"):
            raise ValidationError("Needed for own_text, and for nothing else.", "texts")


class ReachOut(Schema):
    """How many people, how many of them by which channel, and why the others find it in the inbox only."""

    people = Integer()
    channels = Dict(keys=String(), values=Integer())
    unreached = Dict(keys=String(), values=Integer())
