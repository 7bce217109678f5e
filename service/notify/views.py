"""The organisers' doors to webhooks: register a receiver, look at its deliveries, send one again."""

import base64
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g

from service.auth import push_service
from service.clock import now as read_clock
from service.config import Config
from service.notify import deliveries, endpoints, pulling
from service.notify.models import Endpoint
from service.notify.schemas import (
    DeliveriesIn,
    DeliveriesOut,
    DeliveryOut,
    EndpointCreatedOut,
    EndpointIn,
    EndpointOut,
    EndpointSecretOut,
    EndpointsOut,
    EventsIn,
    EventsOut,
    ReplayIn,
    ReplayOut,
)

bp = APIBlueprint("notify", __name__, tag="Webhooks")

ENDPOINT = "/endpoints/<int(max=9223372036854775807):endpoint_id>"
DELIVERY = f"{ENDPOINT}/deliveries/<int(max=9223372036854775807):delivery_id>"


@bp.post("/endpoints")
@push_service("endpoints:write")
@bp.input(EndpointIn)
@bp.output(EndpointCreatedOut, status_code=201)
def register(json_data: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Register a receiver

    Its secret (Standard Webhooks) is shown in this answer and never again.
    """
    config: Config = current_app.config["CHUNSHUI"]
    endpoint, signing = endpoints.register(
        g.organiser, **json_data, secret=config.secret_key, private=config.webhook_private_addresses
    )
    shown = {name: getattr(endpoint, name) for name in EndpointOut().fields}
    return {**shown, "secret": shown_secret(signing)}, 201, {"Cache-Control": "no-store"}


def shown_secret(signing: bytes) -> str:
    """A secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(signing).decode()


@bp.get("/endpoints")
@push_service("endpoints:read")
@bp.output(EndpointsOut)
def listed() -> dict[str, list[Endpoint]]:
    """List the receivers of one's part of the tree"""
    return {"endpoints": endpoints.visible(g.organiser)}


@bp.delete(ENDPOINT)
@push_service("endpoints:write")
@bp.output({}, status_code=204)
def remove(endpoint_id: int) -> str:
    """Remove a receiver with its deliveries"""
    endpoints.remove(endpoints.find(endpoint_id, g.organiser))
    return ""


@bp.post(f"{ENDPOINT}/secrets")
@push_service("endpoints:write")
@bp.output(EndpointSecretOut, status_code=201)
def rotate(endpoint_id: int) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Give a receiver a new secret

    The one before stays good for a week, in which every request carries a signature under each.
    """
    config: Config = current_app.config["CHUNSHUI"]
    endpoint, now = endpoints.find(endpoint_id, g.organiser), read_clock()
    signing, until = endpoints.rotate(endpoint, secrets=config.secrets, now=now)
    return {"secret": shown_secret(signing), "previous_until": until}, 201, {"Cache-Control": "no-store"}


@bp.post(f"{ENDPOINT}/test")
@push_service("endpoints:write")
@bp.output(DeliveryOut, status_code=202)
def test(endpoint_id: int) -> Any:
    """Send a receiver a test event

    It takes the way of every other event; its delivery shows what came of it.
    """
    return endpoints.send_test(endpoints.find(endpoint_id, g.organiser), now=read_clock())


@bp.post(f"{ENDPOINT}/enabling")
@push_service("endpoints:write")
@bp.output(EndpointOut)
def enable(endpoint_id: int) -> Any:
    """Let a receiver that was disabled hear again

    Nothing that was given up meanwhile is sent; replay does that.
    """
    endpoint = endpoints.find(endpoint_id, g.organiser)
    endpoints.enable(endpoint)
    return endpoint


@bp.post(f"{ENDPOINT}/replay")
@push_service("endpoints:write")
@bp.input(ReplayIn)
@bp.output(ReplayOut, status_code=202)
def replay(endpoint_id: int, json_data: dict[str, Any]) -> dict[str, int]:
    """Send a receiver everything again since a time

    Of the last seven days, under the same webhook-ids; what it never had too.
    """
    endpoint = endpoints.find(endpoint_id, g.organiser)
    return {"deliveries": deliveries.replay(endpoint, json_data["since"], now=read_clock())}


@bp.get(f"{ENDPOINT}/deliveries")
@push_service("endpoints:read")
@bp.input(DeliveriesIn, location="query")
@bp.output(DeliveriesOut)
def delivered(endpoint_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List a receiver's deliveries, newest first"""
    endpoint = endpoints.find(endpoint_id, g.organiser)
    page = deliveries.history(endpoint.id, **query_data)
    full = len(page) == query_data["limit"]
    return {"deliveries": page, "next": page[-1].id if full else None}


@bp.post(f"{DELIVERY}/retry")
@push_service("endpoints:write")
@bp.output(DeliveryOut, status_code=202)
def retry(endpoint_id: int, delivery_id: int) -> Any:
    """Send a delivery again, under the same webhook-id"""
    endpoint = endpoints.find(endpoint_id, g.organiser)
    return deliveries.retry(endpoint, delivery_id, now=read_clock())


@bp.get("/events")
@push_service("events:read")
@bp.input(EventsIn, location="query")
@bp.output(EventsOut)
def events(query_data: dict[str, Any]) -> Any:
    """Pull events of one's part of the tree

    For who cannot be called. Those of the last seven days, after a position.
    """
    topics = query_data.pop("topic")
    return pulling.pull(g.organiser, topics=topics, **query_data)
