"""The access matrix: every door, and who of six may see or change what a city holds.

A new door must be entered here. Who may not know of a thing is told that there is none.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import true
from sqlalchemy.orm import Session

from service.activity.models import Activity
from service.checkin import refusals
from service.checkin.attendance import leaves, make_ups, roster
from service.checkin.attendance.make_ups import Effort
from service.checkin.group import sessions
from service.checkin.group.sessions import Screen
from service.checkin.onsite import gates
from service.checkin.records import Attempt, check_ins_of
from service.checkin.rules import check_in
from service.clock import iso
from service.notify import endpoints
from service.org.accounts import clients, grants, recovery
from service.org.models import Member, Organisation
from service.org.organisers import Organiser
from service.org.people import attachments, offices
from service.org.people.attachments import Wish
from tests.factories import (
    bearer,
    make_activity,
    make_certificate,
    make_division,
    make_errand,
    make_flag,
    make_member,
    make_notice,
    make_organisation,
    make_organiser,
    make_place,
)

API = "/api/v1"
COOKIE = "chunshui_organiser"
ACTORS = ("own", "sister", "receiving", "parent", "other", "none")
REACHING = {"own", "parent"}
# A file instead of a body.
LIST = "党员编号,姓名\n".encode()
NUMBER = re.compile(r"<[^>]+>")

# Doors to one thing of the city's: its owners' role, and what is sent. "{x}" is the number of the city's x.
THINGS: dict[str, tuple[str, Any]] = {
    "GET /activities/{activity}": ("organiser", None),
    "PATCH /activities/{activity}": ("organiser", {"theme": "x"}),
    "GET /streams/{stream}/curve": ("organiser", None),
    "GET /endpoints/{endpoint}/deliveries": ("organiser", None),
    "POST /endpoints/{endpoint}/deliveries/{none}/retry": ("organiser", None),
    "POST /endpoints/{endpoint}/secrets": ("organiser", None),
    "POST /endpoints/{endpoint}/test": ("organiser", None),
    "POST /endpoints/{endpoint}/enabling": ("organiser", None),
    "POST /endpoints/{endpoint}/replay": ("organiser", {"since": "2026-01-01T00:00:00Z"}),
    "DELETE /endpoints/{endpoint}": ("organiser", None),
    "GET /members/{member}": ("organiser", None),
    "GET /members/{member}/notices": ("organiser", None),
    "POST /activities/{activity}/notices/preview": ("organiser", {"kind": "announced"}),
    "GET /notices/{notice}": ("organiser", None),
    "GET /notices/{notice}/nodes": ("organiser", None),
    "GET /notices/{notice}/deliveries": ("organiser", None),
    "POST /notices/{notice}/deliveries/{dead}/retry": ("organiser", None),
    "DELETE /notices/{notice}": ("organiser", None),
    "PATCH /members/{member}": ("organiser", {"name": "李四"}),
    "DELETE /members/{member}/binding": ("branch_secretary", None),
    "GET /members/{member}/offices": ("organiser", None),
    "GET /members/{member}/standings": ("branch_secretary", None),
    "PATCH /members/{member}/offices/{office}": ("organiser", {"ends_on": "2030-01-01"}),
    "GET /organisations/{city}": ("organiser", None),
    "GET /organisations/{city}/children": ("organiser", None),
    "GET /organisations/{city}/subtree": ("organiser", None),
    "GET /organisations/{city}/changes": ("organiser", None),
    "GET /errands/{errand}": ("branch_secretary", None),
    "GET /errands/{errand}/differences": ("branch_secretary", None),
    "GET /errands/{errand}/file": ("branch_secretary", None),
    "PUT /errands/{errand}/acceptance": ("branch_secretary", {"outcome": "seen"}),
    "DELETE /errands/{errand}": ("branch_secretary", None),
    "PUT /attachments/{attachment}/confirmation": ("organiser", None),
    "DELETE /attachments/{attachment}": ("organiser", None),
    "PUT /activities/{activity}/attendance-terms": ("organiser", {"late_minutes": 5}),
    "POST /activities/{activity}/check-in-calls": ("organiser", {}),
    "POST /activities/{activity}/gates/{gate}/pairing": ("organiser", None),
    "DELETE /activities/{activity}/gates/{gate}": ("organiser", None),
    "GET /activities/{held}/attendance?node={city}": ("branch_secretary", None),
    "GET /activities/{held}/missing?node={city}": ("branch_secretary", None),
    "GET /activities/{held}/roll?node={city}": ("branch_secretary", None),
    "POST /activities/{activity}/check-ins/batch": ("branch_secretary", {"check_ins": [{}]}),
    "PUT /activities/{activity}/check-ins/{proxy}/confirmation": ("branch_secretary", None),
    "POST /activities/{activity}/check-ins/{proxy}/annulment": ("branch_secretary", {"reason": "误签"}),
    "PUT /activities/{activity}/check-in-refusals/{refusal}/settlement": ("branch_secretary", {"settlement": "已补"}),
    "PUT /activities/{activity}/leaves/{leave}/decision": ("branch_secretary", {"approved": True}),
    "POST /activities/{activity}/group-sessions/{group_session}/ticks": ("branch_secretary", {"ticks": [{}]}),
    "PUT /activities/{activity}/group-sessions/{group_session}/headcount": ("branch_secretary", {"people": 40}),
    "PUT /activities/{activity}/group-sessions/{group_session}/closure": ("branch_secretary", None),
    "GET /activities/{held}/sign-in-sheet.xlsx?node={city}": ("branch_secretary", None),
    "POST /activities/{activity}/paper-lists": ("branch_secretary", LIST),
    "POST /activities/{held}/make-ups/{make_up}/annulment": ("branch_secretary", {"reason": "误记"}),
    "PUT /activities/{activity}/flags/{flag}/resolution": ("branch_secretary", {"note": "一家人"}),
    "GET /members/{member}/exemptions": ("branch_secretary", None),
    "POST /clients/{client}/secrets": ("organiser", None),
    "DELETE /clients/{client}": ("organiser", None),
    "POST /accounts/{account}/recovery": ("system_administrator", None),
    "DELETE /accounts/{account}/provider": ("system_administrator", None),
    "POST /recoveries/{recovery}/approval": ("security_administrator", None),
    "DELETE /grants/{grant}": ("security_administrator", None),
}
# Lists, and where each shows its numbers.
LISTS = {
    "GET /activities/{activity}/notices": ("organiser", "notices", "notice"),
    "GET /organisers/activities": ("organiser", "activities", "activity"),
    "GET /endpoints": ("organiser", "endpoints", "endpoint"),
    "GET /attachments": ("organiser", "attachments", "attachment"),
    "GET /errands": ("organiser", "errands", "errand"),
    "GET /clients": ("organiser", "clients", "client"),
    "GET /activities/{activity}/check-in-refusals": ("branch_secretary", "refusals", "refusal"),
    "GET /activities/{activity}/gates": ("organiser", "gates", "gate"),
    "GET /activities/{activity}/leaves": ("branch_secretary", "leaves", "leave"),
    "GET /activities/{activity}/group-sessions": ("branch_secretary", "group_sessions", "group_session"),
    "GET /activities/{held}/make-ups": ("branch_secretary", "make_ups", "make_up"),
    "GET /activities/{activity}/flags": ("branch_secretary", "flags", "flag"),
    "GET /organisers/desk": ("branch_secretary", "activities", "activity"),
    "GET /accounts": ("security_administrator", "accounts", "account"),
    "GET /accounts/organisations?name=党支部": ("system_administrator", "organisations", "branch"),
    "GET /recoveries": ("security_administrator", "recoveries", "recovery"),
    "GET /accounts/{account}/grants": ("security_administrator", "grants", "grant"),
}
# A member's stay away from home belongs to both branches, and to who stands above either.
SHARED = {
    "GET /attachments", "PUT /attachments/{attachment}/confirmation", "DELETE /attachments/{attachment}"
}  # fmt: skip
# What is made at the city by who may.
MAKING: dict[str, tuple[str, Callable[["World"], Any]]] = {
    "POST /accounts": (
        "system_administrator",
        lambda world: {"login": "new", "name": "新", "organisation_id": world.city.id},
    ),
    "POST /accounts/{account}/grants": (
        "security_administrator",
        lambda world: {"role": "organiser", "purpose": "push", "organisation_id": world.city.id},
    ),
    "POST /members/{member}/attachments": (
        "organiser",
        lambda world: {"organisation_id": world.numbers["sisters"], "reason": "务工", "starts_on": "2026-01-01"},
    ),
    "POST /organisations/{branch}/attachments": ("organiser", lambda world: reception(world.numbers["visitor"])),
    "POST /members/{member}/offices": (
        "organiser",
        lambda world: {"organisation_id": world.city.id, "title": "书记", "starts_on": "2026-01-01"},
    ),
    "POST /members/{member}/exemptions": (
        "branch_secretary",
        lambda world: {"reason": "高龄", "starts_on": "2026-01-01"},
    ),
    "POST /activities/{activity}/leaves": (
        "branch_secretary",
        lambda world: {"member": world.numbers["member"], "reason": "出差"},
    ),
    "POST /activities/{activity}/notices": ("organiser", lambda _: {"reference": "r", "kind": "announced"}),
    "POST /activities/{activity}/group-sessions": (
        "branch_secretary",
        lambda world: {
            "reference": "screen-2",
            "organisation": world.numbers["branch"],
            "place": "村活动室",
            "screen": "tv",
        },
    ),
    "POST /activities/{activity}/gates": ("organiser", lambda world: {"name": "门口"}),
    "POST /activities/{activity}/guests": ("branch_secretary", lambda world: {"member": world.numbers["member"]}),
    "POST /activities/{held}/make-ups": (
        "branch_secretary",
        lambda world: {
            "member": world.numbers["member"],
            "reference": "reference-9",
            "kind": "replay",
            "reason": "回看",
            "happened_at": iso(datetime.now(UTC)),
        },
    ),
    "POST /organisations": (
        "organiser",
        lambda world: {"parent": world.city.id, "level": "county", "name": "新县委"},
    ),
    "POST /organisations/{city}/exports": ("organiser", lambda world: {"subject": "roster"}),
    "POST /organisations/{city}/imports": ("organiser", lambda world: {"any": "JSON is a table to nobody"}),
    "POST /organisations/{branch}/changes": ("organiser", lambda world: {"kind": "renamed", "name": "新支部"}),
}
# Doors to what is one's own, or nobody's; other tests hold what they do.
OWN = {
    "POST /sessions", "POST /sessions/refresh", "DELETE /sessions/current", "GET /me", "POST /demo/guests",
    "POST /organisers/sessions", "POST /organisers/recovery", "DELETE /organisers/sessions/current",
    "GET /me/sessions", "DELETE /me/sessions/{none}", "GET /organisers/me/sessions",
    "DELETE /organisers/me/sessions/{none}", "GET /organisers/me", "PUT /organisers/me/password",
    "POST /organisers/me/second-factor",
    "GET /organisers/me/second-factor/qr.svg", "POST /organisers/me/second-factor/confirmation",
    "POST /oauth/token", "POST /endpoints", "GET /events",
    "POST /clients", "GET /me/data", "PATCH /me", "POST /me/erasure",
    "GET /me/consents", "POST /me/consents", "DELETE /me/consents/{purpose}", "GET /me/attachments",
    "POST /me/attachments", "POST /me/certificate", "DELETE /me/binding",
    "DELETE /activities/{activity}/check-ins/{reference}", "POST /gates/pairing", "POST /gates/state",
    "GET /organisers/oidc", "GET /organisers/oidc/callback", "POST /organisers/me/provider",
    "DELETE /organisers/me/provider", "GET /me/notices",
    "POST /me/notices/{item}/reading", "GET /me/notice-preferences", "PUT /me/notice-preferences", "PUT /me/devices",
    "DELETE /me/devices/{channel}", "POST /me/subscriptions",
    "DELETE /activities/{activity}/members/{member}/check-ins/{entry}",
}  # fmt: skip
# Made under an organisation that is named in the body, or for the whole country; tests/activity and
# tests/org/geography hold who may.
ELSEWHERE = {"POST /activities", "POST /divisions/{division}/changes"}
# What everybody may know who has logged in.
REFERENCE = (
    "GET /divisions", "GET /divisions/{division}", "GET /divisions/{division}/changes",
    "GET /geography-sets/{none}",
)  # fmt: skip
# Members' doors to the city's activity, to which the city is invited.
MEMBERS = {
    "GET /activities": None,
    "GET /activities/{activity}": None,
    "POST /activities/{activity}/check-ins": {"reference": "reference-1"},
    "GET /activities/{activity}/my-attendance": None,
    "PUT /activities/{activity}/leave": {"reason": "出差"},
    "DELETE /activities/{activity}/leave": None,
}
PUBLIC = {
    "GET /activities/{activity}/qr.svg",
    "GET /certificates/keys",
    "GET /wechat/{app}/push",
    "POST /wechat/{app}/push",
}


def reception(member: int) -> dict[str, str]:
    """A stay of who shows his certificate."""
    return {"certificate": make_certificate(member), "reason": "务工", "starts_on": "2026-01-01"}


@dataclass
class World:
    """A city's things, and where the six stand."""

    city: Organisation
    homes: dict[str, Organisation]
    numbers: dict[str, int]


@pytest.fixture
def world(app: APIFlask, db: Session) -> World:
    now = datetime.now(UTC)
    province, elsewhere = make_organisation(level="province"), make_organisation(level="province")
    city, sister = (make_organisation(level="city", parent=province) for _ in range(2))
    receiving = make_organisation(level="city", parent=elsewhere)
    branch, guests, sisters = (make_organisation(parent=at) for at in (city, receiving, sister))
    member = make_member(organisation=branch)
    stay = Wish(organisation_id=guests.id, reason="务工", starts_on=now.date())
    homes = {"own": city, "sister": sister, "receiving": receiving, "parent": province, "other": elsewhere}
    holder = make_organiser(organisation=city)[0]
    proposer = make_organiser(organisation=city, role="system_administrator")[0]
    activity = make_activity(lead=city, invited=[city])
    key = app.config["CHUNSHUI"].secret_key
    endpoint, _ = endpoints.register(
        holder, url="https://example.org/", topics=["stream.count"], secret=key, private=False
    )
    client, _ = clients.register(holder, name="推送", scopes=["events:read"], now=now)
    granter = make_organiser(organisation=province, role="security_administrator")[0]
    attended, held = attendance(activity, member, holder, now), make_activity(lead=city, invited=[city])
    absent = make_member(organisation=branch)
    roster.freeze(held.id, now)
    notice, dead, _ = make_notice(activity, member, path=city.path)
    watching = Screen(reference="screen-1", organisation=branch.id, place="村活动室", screen="tv")
    desk = make_organiser(organisation=city, role="branch_secretary")[0]
    replay = Effort(reference="reference-8", kind="replay", reason="回看", happened_at=now)
    numbers = {
        "make_up": make_ups.make_up(held.id, absent.id, replay, by=holder.id, now=now)[0].id,
        **attended,
        "group_session": sessions.begin(desk, activity.id, watching, now)[0].id,
        "notice": notice.id,
        "dead": dead.id,
        "held": held.id,
        "gate": gates.register(holder, activity.id, "门口", now)[0].id,
        "activity": activity.id,
        "stream": activity.sittings[0].streams[0].id,
        "endpoint": endpoint.id,
        "member": member.id,
        "office": offices.appoint(member, city, title="委员", starts_on=now.date()).id,
        "attachment": attachments.propose(member, stay, by="home", now=now).id,
        "errand": make_errand(holder, now),
        "visitor": make_member(organisation=sisters).id,
        "city": city.id,
        "branch": branch.id,
        "sisters": sisters.id,
        "division": int(make_division().code),
        "client": client.id,
        "account": holder.id,
        "recovery": recovery.propose(proposer, holder.id, now).id,
        "grant": grants.of_account(granter, holder.id)[0].id,
        "none": 10**15,
    }
    return World(city, homes, numbers)


def attendance(activity: Activity, member: Member, holder: Organiser, now: datetime) -> dict[str, int]:
    """What is held of a member's attendance: a proxy to confirm and a flag of it, a refusal, a request for leave."""
    where: dict[str, Any] = {"member": member.id, "organisation": member.organisation.path, "place": ""}
    proxy = Attempt(**where, reference="proxy-of-1", method="proxy", entered_by=holder.id, reason="无手机")
    check_in(activity.id, [proxy, Attempt(**where, reference="reference-0", sitting=10**12)], now)
    own = check_ins_of(activity.id, member.id)[0].id
    return {
        "proxy": own,
        "flag": make_flag(activity, own, now=now).id,
        "refusal": refusals.waiting(activity.id, true())[0].id,
        "leave": leaves.ask(activity.id, member.id, reason="出差", by=None, now=now).id,
    }


def sent(client: FlaskClient, door: str, world: World, body: Any = None, **more: Any) -> Any:
    method, path = door.format(**world.numbers).split()
    if isinstance(body, bytes):
        return client.open(f"{API}{path}", method=method, data={"file": (BytesIO(body), "list.csv")}, **more)
    return client.open(f"{API}{path}", method=method, **({"json": body} if body is not None else {}), **more)


def enter(client: FlaskClient, world: World, actor: str, role: str) -> Organiser | None:
    client.delete_cookie(COOKIE)
    if actor == "none":
        return None
    organiser, cookie = make_organiser(organisation=world.homes[actor], role=role)
    client.set_cookie(COOKIE, cookie)
    return organiser


def reaching(door: str) -> set[str]:
    """Who of the actors may."""
    return REACHING | {"receiving", "other"} if door in SHARED else REACHING


def template(door: str) -> str:
    return re.sub(r"\{\w+\}", "<>", door.partition("?")[0])


def test_every_door_is_in_the_matrix(app: APIFlask) -> None:
    doors = {
        f"{method} {NUMBER.sub('<>', rule.rule.removeprefix(API))}"
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(API)
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    known = {template(door) for door in (*THINGS, *LISTS, *MAKING, *OWN, *ELSEWHERE, *REFERENCE, *MEMBERS, *PUBLIC)}
    assert doors == known


FACTOR = ("begin_factor", "factor_qr", "confirm_factor")


def test_every_organisers_door_asks_for_a_grant(app: APIFlask) -> None:
    mine = ("my_sessions", "end_session", "sign_out", "me", "change_password", *FACTOR)
    own = {f"accounts.{one}" for one in mine} | {
        "provider.link",
        "provider.unlink",
    }
    for name, view in app.view_functions.items():
        if "organiser" in getattr(view, "authentication", ""):
            assert getattr(view, "purposes", None) or name in own, name


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("door", THINGS)
def test_a_thing_is_there_for_its_own_part_of_the_tree_only(
    client: FlaskClient, world: World, door: str, actor: str
) -> None:
    role, body = THINGS[door]
    enter(client, world, actor, role)
    status = sent(client, door, world, body).status_code
    if actor == "none":
        assert status == 401
    elif actor in reaching(door) and "{none}" not in door:
        assert status < 400
    else:
        assert status == 404


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("door", LISTS)
def test_a_list_shows_ones_own_part_of_the_tree_only(client: FlaskClient, world: World, door: str, actor: str) -> None:
    role, field, thing = LISTS[door]
    enter(client, world, actor, role)
    answer = sent(client, door, world)
    if actor == "none":
        assert answer.status_code == 401
    elif "/activities/{" in door and actor not in reaching(door):
        assert answer.status_code == 404
    else:
        shown = {one["id"] for one in answer.json[field]}
        assert (world.numbers[thing] in shown) is (actor in reaching(door))


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("door", MAKING)
def test_something_is_made_below_oneself_only(client: FlaskClient, world: World, door: str, actor: str) -> None:
    role, body = MAKING[door]
    enter(client, world, actor, role)
    answer = sent(client, door, world, body(world))
    assert answer.status_code in ({401} if actor == "none" else {201, 202} if actor in REACHING else {404})


@pytest.mark.parametrize("door", REFERENCE)
def test_what_is_public_is_there_for_who_has_logged_in(client: FlaskClient, world: World, door: str) -> None:
    assert sent(client, door, world).status_code == 401
    assert sent(client, door, world, headers=bearer()).status_code in (200, 404)
    enter(client, world, "other", "organiser")
    assert sent(client, door, world).status_code in (200, 404)


@pytest.mark.parametrize(
    "door",
    [*THINGS, *LISTS, *MAKING, *sorted(ELSEWHERE), *REFERENCE, "POST /endpoints", "POST /clients", "GET /events"],
)
def test_without_a_grant_for_it_no_door_opens(client: FlaskClient, world: World, door: str) -> None:
    """An auditor's account, whose one purpose none of these doors has."""
    enter(client, world, "own", "auditor")
    assert sent(client, door, world, {}).status_code == 403


@pytest.mark.parametrize("actor", ["own", "sister", "receiving", "other"])
@pytest.mark.parametrize("door", MEMBERS)
def test_members_see_what_they_are_invited_to(client: FlaskClient, world: World, door: str, actor: str) -> None:
    branch = make_organisation(parent=world.homes[actor])
    headers = bearer(member=make_member(organisation=branch, place=make_place()))
    answer = sent(client, door, world, MEMBERS[door], headers=headers)
    if door == "GET /activities":
        shown = {one["id"] for one in answer.json["activities"]}
        assert (world.numbers["activity"] in shown) is (actor == "own")
    else:
        unknown = sent(client, door.replace("{activity}", "{none}"), world, MEMBERS[door], headers=headers)
        assert unknown.status_code == 404
        assert (answer.status_code < 300) if actor == "own" else (answer.json == unknown.json)
