"""The events that webhooks tell, field by field: what `docs/events.md` and the AsyncAPI document are held against."""

from dataclasses import dataclass
from typing import Any

from service import __version__


@dataclass(frozen=True)
class Field:
    """One member of `data`: its JSON Schema, less the title."""

    meaning: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Topic:
    """One kind of event; `order` names the field within whose values events have an order, told by `sequence`."""

    when: str
    data: dict[str, Field]
    subject: bool = False
    order: str | None = None


def _integer(meaning: str) -> Field:
    return Field(meaning, {"type": "integer"})


def _moment(meaning: str) -> Field:
    return Field(meaning, {"type": "string", "format": "date-time"})


def _figure(meaning: str) -> Field:
    return Field(meaning, {"type": ["integer", "null"]})


ACTIVITY = {
    "activity": _integer("Number of the activity."),
    "rehearsal": Field("Whether it is a rehearsal, to be left out of figures.", {"type": "boolean"}),
}
SITTING = _integer("Number of the sitting.")
CHECK_IN = ACTIVITY | {
    "sitting": SITTING,
    "method": Field("How it was made.", {"type": "string"}),
    "happened_at": _moment("When the member checked in, to the minute."),
    "received_at": _moment("When it arrived here, to the minute."),
}

CATALOGUE = {
    "activity.opened": Topic(
        "A sitting begins or its check-in opens.",
        ACTIVITY
        | {
            "sitting": SITTING,
            "theme": Field("Theme of the activity.", {"type": "string"}),
            "starts_at": _moment("When the sitting begins."),
            "ends_at": _moment("When it ends."),
        },
    ),
    "checkin.created": Topic("A member's check-in is recorded.", CHECK_IN, subject=True),
    "checkin.annulled": Topic("It was taken back.", CHECK_IN, subject=True),
    "stream.count": Topic(
        "Every few seconds while a stream is live.",
        ACTIVITY
        | {
            "stream": _integer("Number of the stream."),
            "sequence": _integer("Rises with every event of one stream: one that is lower than the last is old news."),
            "as_of": _moment("The moment that the figures are of."),
            "basis": Field("Whether they are exact.", {"enum": ["exact", "degraded"]}),
            "reason": Field("Why they are not.", {"type": ["string", "null"]}),
            "in_doubt": _figure("How many members may be counted wrongly."),
            "online": _figure("Members online now."),
            "connections": _figure("Connections now."),
            "joined": _figure("Members who joined so far."),
            "peak": _figure("The highest online so far."),
            "checked_in": _figure("Members who checked in so far."),
        },
        order="stream",
    ),
    "endpoint.test": Topic("Somebody asked for a trial, of one endpoint.", {"endpoint": _integer("Its number.")}),
}
SUBJECT = Field("Stands for a member, at this endpoint only.", {"type": "string", "pattern": "^sub_[0-9a-f]{32}$"})


def message_schema(topic: str) -> dict[str, Any]:
    """The JSON Schema of the body of an event."""
    entry = CATALOGUE[topic]
    fields = entry.data | ({"subject": SUBJECT} if entry.subject else {})
    properties = {name: {"description": field.meaning, **field.schema} for name, field in fields.items()}
    # The subject is missing where the member was erased before his event was told.
    data = {"type": "object", "properties": properties, "required": sorted(entry.data)}
    body = {"type": {"const": topic}, "timestamp": {"type": "string", "format": "date-time"}, "data": data}
    return {"type": "object", "properties": body, "required": sorted(body)}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document."""
    headers = {name: {"type": "string"} for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    messages = {
        topic: {
            "name": topic,
            "summary": entry.when,
            "contentType": "application/json",
            "headers": {"type": "object", "properties": headers, "required": sorted(headers)},
            "payload": message_schema(topic),
        }
        for topic, entry in CATALOGUE.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "春水 Chunshui events",
            "version": __version__,
            "description": "Webhooks by Standard Webhooks 1.0; see docs/events.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "address": None,
                "description": "The URL that an organiser registered.",
                "messages": {topic: {"$ref": f"#/components/messages/{topic}"} for topic in CATALOGUE},
            }
        },
        "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/endpoint"}}},
        "components": {"messages": messages},
    }
