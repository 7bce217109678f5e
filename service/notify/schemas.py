"""Shapes of the room's requests and answers."""

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Integer, List, Nested, String
from marshmallow.validate import Length, OneOf, Range

from service.fields import MAX_ID, Line, Moment
from service.notify.models import STATES
from service.notify.outbox import TOPICS

# What can be listened to; a test event is asked for.
HEARD = [topic for topic in TOPICS if topic != "endpoint.test"]


class EndpointIn(Schema):
    """What an organiser registers."""

    url = Line(2048, required=True)
    topics = List(String(validate=OneOf(HEARD)), required=True, validate=Length(1, len(HEARD)))


class EndpointOut(Schema):
    """An endpoint, without its secret."""

    id = Integer()
    url = String()
    topics = List(String())
    enabled = Boolean()
    disabled_reason = String(allow_none=True)
    failing_since = Moment(allow_none=True)
    created_at = Moment()


class EndpointCreatedOut(EndpointOut):
    """A new endpoint; the only time that its secret is shown."""

    secret = String()


class EndpointSecretOut(Schema):
    """A new secret of an endpoint, shown once; the one before is good until `previous_until`."""

    secret = String()
    previous_until = Moment()


class EndpointsOut(Schema):
    """The endpoints of the organiser's part of the tree."""

    endpoints = List(Nested(EndpointOut))


class ReplayIn(Schema):
    """From when on everything is sent again."""

    since = Moment(required=True)


class ReplayOut(Schema):
    """How many deliveries are on their way again."""

    deliveries = Integer()


class DeliveriesIn(Schema):
    """Which deliveries to list."""

    state = String(load_default=None, validate=OneOf(STATES))
    before = Integer(load_default=None, validate=Range(1, MAX_ID))
    limit = Integer(load_default=50, validate=Range(1, 200))


class DeliveryOut(Schema):
    """One delivery and what came of it."""

    id = Integer()
    webhook_id = String()
    topic = String(attribute="event.topic")
    state = String()
    attempts = Integer()
    due_at = Moment()
    last_status = Integer(allow_none=True)
    last_error = String(allow_none=True)
    created_at = Moment(attribute="event.created_at")
    delivered_at = Moment(allow_none=True)


class DeliveriesOut(Schema):
    """A page of deliveries; `next` continues it as `before`, null at the end."""

    deliveries = List(Nested(DeliveryOut))
    next = Integer(allow_none=True)


class EventsIn(Schema):
    """Which events to pull; `endpoint` is one of one's own, whose subjects are shown."""

    after = Integer(load_default=0, validate=Range(0, MAX_ID))
    limit = Integer(load_default=100, validate=Range(1, 1000))
    topic = List(String(validate=OneOf(HEARD)), load_default=None)
    endpoint = Integer(load_default=None, validate=Range(1, MAX_ID))


class EventOut(Schema):
    """One event, as webhooks tell it, and where it stands."""

    position = Integer()
    type = String(validate=OneOf(HEARD))
    timestamp = String()
    data = Dict(keys=String())


class EventsOut(Schema):
    """Events in the order of their positions; ask again after `next`, which moves on even where there are none."""

    events = List(Nested(EventOut))
    next = Integer()
