"""Shapes of the room's requests and answers."""

from apiflask import Schema
from apiflask.fields import Boolean, DateTime, Integer, List, Nested, String
from marshmallow.validate import Length, OneOf, Range

from service.notify.models import STATES
from service.notify.outbox import TOPICS

MAX_ID = 2**63 - 1


class EndpointIn(Schema):
    """What an organiser registers."""

    url = String(required=True, validate=Length(8, 2048))
    topics = List(String(validate=OneOf(list(TOPICS))), required=True, validate=Length(1, len(TOPICS)))


class EndpointOut(Schema):
    """An endpoint, without its secret."""

    id = Integer()
    url = String()
    topics = List(String())
    enabled = Boolean()
    disabled_reason = String()
    created_at = DateTime()


class EndpointCreatedOut(EndpointOut):
    """A new endpoint; the only time that its secret is shown."""

    secret = String()


class EndpointsOut(Schema):
    """The endpoints of the organiser's part of the tree."""

    endpoints = List(Nested(EndpointOut))


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
    due_at = DateTime()
    last_status = Integer()
    last_error = String()
    created_at = DateTime(attribute="event.created_at")
    delivered_at = DateTime()


class DeliveriesOut(Schema):
    """A page of deliveries; `next` continues it as `before`, null at the end."""

    deliveries = List(Nested(DeliveryOut))
    next = Integer(allow_none=True)
