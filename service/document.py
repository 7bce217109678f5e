"""What the OpenAPI document says of every operation, beside what its view declares: who may call it, its numbers in the
path, and every refusal.

Most refusals follow from what a view is: one with a body may be malformed, one with a limit may be too much. The rest
is in `ALSO`, by endpoint. `tests/test_openapi_fuzz.py` asks for all operations and finds whatever is missing.
"""

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from service.auth import SAFE_METHODS
from service.errors import ERRORS

SCHEMES = {
    "member": {"type": "http", "scheme": "bearer"},
    "organiser": {"type": "apiKey", "in": "cookie", "name": "chunshui_organiser"},
    "programme": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/api/v1/oauth/token",
                "scopes": {
                    "endpoints:read": "See receivers of webhooks and their deliveries.",
                    "endpoints:write": "Register and remove receivers, send again.",
                    "events:read": "Pull events.",
                },
            }
        },
    },
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457; see docs/errors.md.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(ERRORS)},
    },
    "required": ["type", "title", "status", "code"],
}
REDIRECT = {
    "content": {"text/html": {"schema": {"type": "string"}}},
    "headers": {"Location": {"schema": {"type": "string"}}},
}
# OAuth's form, which is read as RFC 6749 says and not as our JSON is.
CREDENTIALS = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("grant_type", "client_id", "client_secret", "scope")},
    "required": ["grant_type"],
}
BYTES = {"schema": {"type": "string", "format": "binary"}}
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Bodies that are no JSON, by endpoint; answers that are none, by endpoint or by how the path ends.
BODIES = {
    "accounts.token": {"application/x-www-form-urlencoded": {"schema": CREDENTIALS}},
    "errands.send_in": {"application/octet-stream": BYTES},
}
FILES = {
    "errands.fetch": {"text/csv": BYTES, WORKBOOK: BYTES},
    "svg": {"image/svg+xml": {"schema": {"type": "string"}}},
    "xlsx": {WORKBOOK: BYTES},
}
PARAMETER = re.compile(r"<(?:(\w+)(?:\(\w+=(\d+)\))?:)?(\w+)>")

# Refusals that no trait of a view tells.
ALSO: dict[str, tuple[int, ...]] = {
    "accounts.sign_in": (401, 403, 415),
    "accounts.recover": (403, 415),
    "accounts.change_password": (429,),
    "accounts.begin_factor": (429,),
    "accounts.confirm_factor": (404, 429),
    "accounts.factor_qr": (404,),
    "accounts.open_account": (404, 409),
    "accounts.approve": (409,),
    "accounts.give": (409,),
    "accounts.register_client": (409,),
    "accounts.token": (401,),
    "provider.depart": (404,),
    "provider.arrive": (401, 404),
    "provider.link": (404,),
    "activity.tell": (409,),
    "activity.preview": (409,),
    "notices.subscribe": (409,),
    "notices.retry": (409,),
    "notify.register": (409,),
    "notify.replay": (409,),
    "notify.retry": (409,),
    "notify.test": (409,),
    "org.log_in": (401, 403),
    "org.refresh": (401,),
    "org.guest": (404,),
    "geography.change": (409,),
    "errands.send_in": (409, 413, 422),
    "errands.ask_for": (409,),
    "errands.accept": (409,),
    "tree.found": (404, 409),
    "tree.change": (409,),
    "people.edit": (409,),
    "people.propose": (409,),
    "people.ask": (409,),
    "people.receive": (409,),
    "people.confirm": (409,),
    "people.appoint": (409,),
    "people.end_office": (409,),
    "activity.create": (409,),
    "activity.edit": (409,),
    "checkin.call": (409,),
    "checkin.check_in": (409,),
    "checkin.undo": (409,),
    "checkin.undo_entry": (409,),
    "checkin.confirm": (409,),
    "attendance.agree": (409,),
    "attendance.missing": (409,),
    "attendance.sign_in_sheet": (413,),
    "attendance.ask_leave": (409,),
    "attendance.withdraw_leave": (409,),
    "attendance.ask_leave_for": (409,),
    "attendance.decide_leave": (409,),
    "attendance.make_up": (409,),
    "group.begin": (409,),
    "group.count_heads": (409,),
    "onsite.register": (409,),
    "onsite.pair": (403,),
    "onsite.state": (403,),
}


def complete(app: Flask, spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` with all that; APIFlask's own shapes of errors, which nobody answers with, are taken out."""
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    for rule, method, operation in operations(app, spec):
        describe(app.view_functions[rule.endpoint], rule, method, operation)
    return spec


def operations(app: Flask, spec: dict[str, Any]) -> Iterator[tuple[Rule, str, dict[str, Any]]]:
    """Each operation of `spec`, with its rule and method."""
    for rule in app.url_map.iter_rules():
        path = spec["paths"].get(PARAMETER.sub(r"{\3}", rule.rule), {})
        for method in sorted(rule.methods or ()):
            if method.lower() in path:
                yield rule, method, path[method.lower()]


def describe(view: Callable[..., Any], rule: Rule, method: str, operation: dict[str, Any]) -> None:
    """Complete one operation."""
    doors = [door for door in getattr(view, "authentication", "public").split(" or ") if door != "public"]
    if doors:
        operation["security"] = [{door: []} for door in doors]
    if rule.endpoint in BODIES:
        operation["requestBody"] = {"content": BODIES[rule.endpoint], "required": True}
    if (content := FILES.get(rule.endpoint) or FILES.get(rule.rule.rpartition(".")[2])) is not None:
        operation["responses"]["200"]["content"] = content
    if "303" in operation["responses"]:
        operation["responses"].pop("200", None)
        operation["responses"]["303"].update(REDIRECT)
    schemas = {name: parameter(kind, int(most or 0)) for kind, most, name in PARAMETER.findall(rule.rule)}
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            one["schema"] = schemas[one["name"]]
    found = {status for status, holds in traits(view, method, operation, doors) if holds} | {
        *ALSO.get(rule.endpoint, ())
    }
    for status in sorted(found | {int(one) for one in operation["responses"] if int(one) >= 400}):
        operation["responses"][str(status)] = refusal(status)


def traits(
    view: Callable[..., Any], method: str, operation: dict[str, Any], doors: list[str]
) -> Iterator[tuple[int, bool]]:
    """Which refusals an operation may give for what it is."""
    places = {one["in"] for one in operation.get("parameters", ())}
    body, writes = "requestBody" in operation, method not in SAFE_METHODS
    yield 400, body
    yield 401, bool(doors)
    yield 403, "organiser" in doors
    yield 404, "path" in places
    # Of a number that no bigint holds werkzeug knows other methods only.
    yield 405, "path" in places and method != "GET"
    yield 413, body
    yield 415, "organiser" in doors and writes
    yield 422, body or "query" in places
    yield 429, hasattr(view, "limited")
    yield 503, True


def refusal(status: int) -> dict[str, Any]:
    """A response with a problem document."""
    shown: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        shown["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return shown


def parameter(kind: str, most: int) -> dict[str, Any]:
    """The schema of a part of the path, from its converter."""
    if kind == "int":
        return {"type": "integer", "minimum": 0, "maximum": most}
    return {"type": "string", "minLength": 1} | ({"maxLength": most} if most else {})
