"""A run of schemathesis over the whole OpenAPI document, in process, as everybody whom there is.

Each call begins from the same two provinces, because what it did is undone: so the order says nothing, and numbers stay
good. Asked with what the document allows and with what it forbids, no operation may fail, answer what the document does
not say, or tell a text of the other province, all of which are marked.
"""

import io
import json
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import schemathesis
from apiflask import APIFlask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.orm import Session

from service.extensions import db as database
from service.org.accounts.provider.client import ENDPOINTS, Provider
from service.org.geography.sets import load_border
from service.sandbox.doors import Doors
from service.sandbox.wechat import APPID, SECRET, WeChat
from tests.factories import make_place
from tests.openapi import MARK, REFERENCE, Province, good_bodies, make_province

API = "/api/v1"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "8"))
PATH = re.compile(r"{(\w+)}")
# At least so many of the operations succeed for each, so that the run cannot become empty unseen.
REACHES = {
    "member": 27,
    "programme": 13,
    "nobody": 8,
    "organiser": 46,
    "system_administrator": 16,
    "security_administrator": 18,
    "auditor": 12,
}
ASKERS = tuple(REACHES)
# Where only a browser arrives that a provider sent: tests/org/accounts/test_provider.py has a real one.
BACK = "GET /organisers/oidc/callback"


@dataclass
class World:
    """Both provinces, the document, and a stand-in for WeChat that is told whom its codes mean."""

    ours: Province
    theirs: Province
    operations: list[Any]
    wechat: WeChat


@pytest.fixture
def world(app: APIFlask, db: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    config = app.config["CHUNSHUI"]
    wide = {"account_requests_per_minute": 10**9, "network_passwords_per_minute": 10**9}
    wechat = {"wechat_appid": APPID, "wechat_secret": SECRET, "demo": True}
    idp = {"web_url": "http://localhost", "oidc_issuer": "https://idp.test", "oidc_client_id": "chunshui"}
    config = replace(config, **wide, **wechat, **idp)
    monkeypatch.setitem(app.config, "CHUNSHUI", config)
    load_border()
    doors = Doors(WeChat())
    place, now = make_place(), datetime.now(UTC)
    ours, theirs = (make_province(mark, place, now) for mark in ("", MARK))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "idp.test":
            return httpx.Response(
                200, json={"issuer": config.oidc_issuer, **dict.fromkeys(ENDPOINTS, str(request.url))}
            )
        told = doors.answer(request.method, str(request.url), request.content)
        return httpx.Response(told.status, json=told.body)

    with httpx.Client(base_url="https://wechat.test", transport=httpx.MockTransport(answer)) as client:
        monkeypatch.setitem(app.extensions, "wechat", client)
        monkeypatch.setitem(app.extensions, "provider", Provider(config, client))
        schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
        found: list[Any] = list(schema.get_all_operations())
        yield World(ours, theirs, [one.ok() for one in found], doors.wechat)


def name_of(operation: Any) -> str:
    return f"{operation.method.upper()} {operation.path.removeprefix(API)}"


@st.composite
def cases(draw: st.DrawFn, operation: Any, world: World, allowed: Any, forbidden: Any) -> Any:
    """A case of `operation`: of what the document allows or forbids, often with numbers and members that exist."""
    case = draw(draw(st.sampled_from([allowed, allowed, forbidden])))
    province = draw(st.sampled_from([world.ours, world.ours, world.theirs]))
    for name in case.path_parameters or {}:
        if draw(st.integers(0, 3)):
            case.path_parameters[name] = known(province, name)
    good = good_bodies(province, world.ours, world.wechat.login("openid")).get(name_of(operation))
    if good is not None and isinstance(case.body, dict):
        case.body = {**good, **{name: value for name, value in case.body.items() if draw(st.booleans())}}
    return case


def good_case(operation: Any, world: World) -> Any:
    """The call that succeeds for whoever may."""
    path = {name: known(world.ours, name) for name in PATH.findall(operation.path)}
    if operation.path.endswith(("/attendance-terms", "/check-ins/{entry}")):
        path["activity_id"] = world.ours.numbers["unfrozen"]
    body = good_bodies(world.ours, world.ours, world.wechat.login("openid")).get(name_of(operation))
    more = {} if body is None else {"body": body, "media_type": media_type(operation)}
    known_queries: dict[str, Any] = {"node": world.ours.numbers["parent"]}
    if operation.path.endswith("/accounts/organisations"):
        known_queries["name"] = "支部"
    query = {one.name: known_queries[one.name] for one in operation.query if one.name in known_queries}
    return operation.Case(path_parameters=path, query=query, **more)


def media_type(operation: Any) -> str:
    if operation.path.endswith("/imports"):
        return "application/octet-stream"
    if operation.path.endswith("/paper-lists"):
        return "multipart/form-data"
    return "application/x-www-form-urlencoded" if operation.path.endswith("/oauth/token") else "application/json"


def known(province: Province, name: str) -> Any:
    """What a variable of the path may mean in `province`."""
    return {
        "code": 540102,
        "entry": "entry-of-1",
        "key": "sichuan-border",
        "purpose": "reminders",
        "channel": "apns",
        "reference": REFERENCE,
        **province.numbers,
    }[name]


def ask(case: Any, credentials: dict[str, Any]) -> Any:
    """The answer, and everything as it was before."""
    # Savepoints nest: what the session has begun ends before.
    connection: Any = database.session.get_bind()
    database.session.remove()
    before = connection.begin_nested()
    try:
        return case.call(**credentials)
    finally:
        database.session.remove()
        before.rollback()


def check(case: Any, answer: Any, asker: str) -> None:
    """All that holds for every answer."""
    case.validate_response(answer, checks=CHECKS)
    assert MARK not in said(answer) + json.dumps(dict(answer.headers)), f"{asker} is told of the other province"
    if asker == "nobody" and case.operation.definition.raw.get("security"):
        # What is not well formed may find no route at all.
        assert answer.status_code in (401, 403, 404, 405, 415), "a door is open to nobody"


def said(answer: Any) -> str:
    """All the text of an answer, of a workbook too."""
    if not answer.content.startswith(b"PK"):
        return str(answer.text)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def run(operation: Any, world: World, asker: str, examples: int) -> set[int]:
    """Ask `examples` times; the statuses of the answers."""
    statuses: set[int] = set()
    drawn = [operation.as_strategy(generation_mode=one) for one in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(operation, world, *drawn))
    def asked(case: Any) -> None:
        answer = ask(case, world.ours.credentials[asker])
        statuses.add(answer.status_code)
        check(case, answer, asker)

    asked()
    return statuses


def test_every_operation_succeeds_for_somebody(world: World) -> None:
    """So that the run below does not stop at doors that are never opened."""
    answers: dict[str, dict[str, int]] = defaultdict(dict)
    for operation in world.operations:
        for asker in ASKERS:
            case = good_case(operation, world)
            answer = ask(case, world.ours.credentials[asker])
            check(case, answer, asker)
            answers[name_of(operation)][asker] = answer.status_code
    never = {name: told for name, told in answers.items() if not any(status < 400 for status in told.values())}
    assert never.keys() == {BACK}


@pytest.mark.parametrize("asker", ASKERS)
def test_no_operation_fails_or_says_what_it_should_not(
    world: World, asker: str, record_property: Callable[[str, Any], None]
) -> None:
    wrong, reached = {}, set()
    for operation in world.operations:
        try:
            if any(status < 300 for status in run(operation, world, asker, EXAMPLES)):
                reached.add(name_of(operation))
        except Exception as error:
            wrong[name_of(operation)] = "\n".join(str(error).splitlines()[:60])
    record_property("operations that succeeded", f"{asker}: {len(reached)} of {len(world.operations)}")
    assert len(reached) >= REACHES[asker]
    assert not wrong, "\n\n".join(f"{name}\n{told}" for name, told in wrong.items())
