"""Whether something exists is told to nobody who may not see it: the same answer for another province's and for none.

Each row is a door, who knocks, and what is sent; "{x}" is the number of an x, once the other province's, once nobody's.
"""

import json
import re
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Literal

import pytest
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.org.accounts import opening, passwords
from tests.factories import make_organiser, make_place
from tests.openapi import COOKIE, MARK, Province, make_province

API = "/api/v1"
NOBODYS = 10**15
# Differ from one request to the next whatever is asked.
CHANGING = {"Date", "X-Request-Id"}
ORGANISATION = {"parent": "{number}", "level": "branch", "name": "新"}
OFFICE = {"organisation_id": "{organisation_id}", "title": "书记", "starts_on": "2026-01-01"}
STAY = {"organisation_id": "{organisation_id}", "reason": "务工", "starts_on": "2026-01-01"}
RECEPTION = {"certificate": "x", "reason": "务工", "starts_on": "2026-01-01"}
GRANT = {"role": "organiser", "purpose": "push", "organisation_id": "{parent}"}
ACCOUNT = {"login": "new", "name": "新", "organisation_id": "{parent}"}
SCREEN = {"reference": "screen-1", "organisation": "{number}", "place": "x", "screen": "tv"}
ROWS: tuple[tuple[str, str, Any], ...] = (
    ("member", "GET /activities/{activity_id}", None),
    ("member", "POST /activities/{activity_id}/check-ins", {"reference": "reference-1"}),
    ("member", "GET /activities/{activity_id}/my-attendance", None),
    ("organiser", "GET /activities/{activity_id}", None),
    ("organiser", "PATCH /activities/{activity_id}", {"theme": "x"}),
    ("organiser", "POST /activities/{activity_id}/check-in-calls", {}),
    ("organiser", "GET /streams/{stream_id}/curve", None),
    ("organiser", "GET /activities/{activity_id}/make-ups", None),
    ("organiser", "POST /activities/{activity_id}/make-ups/{make_up_id}/annulment", {"reason": "误记"}),
    ("organiser", "GET /activities/{activity_id}/flags", None),
    ("organiser", "PUT /activities/{activity_id}/flags/{flag_id}/resolution", {"note": "一家人"}),
    ("organiser", "GET /activities/{activity_id}/group-sessions", None),
    ("organiser", "POST /activities/{activity_id}/group-sessions", SCREEN),
    ("organiser", "POST /activities/{activity_id}/group-sessions/{group_session_id}/ticks", {"ticks": [{}]}),
    ("organiser", "PUT /activities/{activity_id}/group-sessions/{group_session_id}/headcount", {"people": 1}),
    ("organiser", "PUT /activities/{activity_id}/group-sessions/{group_session_id}/closure", None),
    ("organiser", "GET /activities/{activity_id}/sign-in-sheet.xlsx?node={number}", None),
    ("organiser", "POST /activities/{activity_id}/paper-lists", "党员编号,姓名\n7,张三\n".encode()),
    ("organiser", "DELETE /activities/{activity_id}/members/{member_id}/check-ins/entry-of-1", None),
    ("organiser", "GET /activities/{activity_id}/roll?node={parent}", None),
    ("organiser", "GET /members/{member_id}", None),
    ("organiser", "GET /members/{member_id}/notices", None),
    ("organiser", "GET /activities/{activity_id}/notices", None),
    ("organiser", "POST /activities/{activity_id}/notices", {"reference": "r", "kind": "announced"}),
    ("organiser", "POST /activities/{activity_id}/notices/preview", {"kind": "announced"}),
    ("organiser", "GET /notices/{notice_id}", None),
    ("organiser", "GET /notices/{notice_id}/nodes", None),
    ("organiser", "GET /notices/{notice_id}/deliveries", None),
    ("organiser", "POST /notices/{notice_id}/deliveries/{told_id}/retry", None),
    ("organiser", "DELETE /notices/{notice_id}", None),
    ("member", "POST /me/notices/{item_id}/reading", None),
    ("organiser", "PATCH /members/{member_id}", {"name": "李四"}),
    ("organiser", "DELETE /members/{member_id}/binding", None),
    ("organiser", "GET /members/{member_id}/offices", None),
    ("organiser", "GET /members/{member_id}/standings", None),
    ("organiser", "POST /members/{member_id}/offices", OFFICE),
    ("organiser", "PATCH /members/{member_id}/offices/{office_id}", {"ends_on": "2030-01-01"}),
    ("organiser", "POST /members/{member_id}/attachments", STAY),
    ("organiser", "POST /organisations/{number}/attachments", RECEPTION),
    ("organiser", "PUT /attachments/{attachment_id}/confirmation", None),
    ("organiser", "DELETE /attachments/{attachment_id}", None),
    ("organiser", "GET /organisations/{number}", None),
    ("organiser", "GET /organisations/{number}/children", None),
    ("organiser", "GET /organisations/{number}/subtree", None),
    ("organiser", "GET /organisations/{number}/changes", None),
    ("organiser", "POST /organisations/{number}/changes", {"kind": "renamed", "name": "新"}),
    ("organiser", "POST /organisations", ORGANISATION),
    ("organiser", "POST /organisations/{number}/exports", {"subject": "roster"}),
    ("organiser", "POST /organisations/{number}/imports", {"any": "JSON"}),
    ("organiser", "GET /errands/{errand_id}", None),
    ("organiser", "GET /errands/{errand_id}/differences", None),
    ("organiser", "GET /errands/{errand_id}/file", None),
    ("organiser", "PUT /errands/{errand_id}/acceptance", {"outcome": "seen"}),
    ("organiser", "DELETE /errands/{errand_id}", None),
    ("organiser", "POST /endpoints/{endpoint_id}/enabling", None),
    ("organiser", "POST /endpoints/{endpoint_id}/replay", {"since": "2026-01-01T00:00:00Z"}),
    ("organiser", "GET /endpoints/{endpoint_id}/deliveries", None),
    ("organiser", "POST /endpoints/{endpoint_id}/deliveries/{delivery_id}/retry", None),
    ("organiser", "DELETE /endpoints/{endpoint_id}", None),
    ("programme", "GET /endpoints/{endpoint_id}/deliveries", None),
    ("programme", "DELETE /endpoints/{endpoint_id}", None),
    ("organiser", "POST /clients/{client_id}/secrets", None),
    ("organiser", "DELETE /clients/{client_id}", None),
    ("system_administrator", "POST /accounts", ACCOUNT),
    ("system_administrator", "POST /accounts/{account_id}/recovery", None),
    ("system_administrator", "DELETE /accounts/{account_id}/provider", None),
    ("security_administrator", "GET /accounts/{account_id}/grants", None),
    ("security_administrator", "POST /accounts/{account_id}/grants", GRANT),
    ("security_administrator", "POST /recoveries/{recovery_id}/approval", None),
    ("security_administrator", "DELETE /grants/{grant_id}", None),
)
# What is ours in the path and theirs, or nobody's, in what is sent.
SENT: tuple[tuple[str, str, Any], ...] = (
    ("organiser", "POST /members/{member_id}/offices", OFFICE),
    ("organiser", "POST /activities/{activity_id}/group-sessions", SCREEN | {"organisation": "{to}"}),
    ("organiser", "POST /organisations/{number}/changes", {"kind": "moved", "to": "{to}"}),
    ("organiser", "POST /organisations/{number}/changes", {"kind": "merged", "to": "{to}"}),
    ("organiser", "GET /streams/{stream_id}/curve?organisation={!number}", None),
    ("organiser", "GET /activities/{activity_id}/sign-in-sheet.xlsx?node={!number}", None),
    ("organiser", "GET /activities/{activity_id}/roll?node={!number}", None),
    ("member", "POST /activities/{activity_id}/check-ins", {"reference": "reference-1", "sitting": "{sitting}"}),
    ("security_administrator", "POST /accounts/{account_id}/grants", GRANT),
)


@pytest.fixture
def provinces(app: APIFlask, db: Session) -> tuple[Province, Province]:
    """Ours, and the other one."""
    place, now = make_place(), datetime.now(UTC)
    return make_province("", place, now), make_province(MARK, place, now)


def filled(body: Any, numbers: dict[str, int]) -> Any:
    """`body` with numbers for names in braces."""
    return (
        body
        if isinstance(body, bytes)
        else body and {name: numbers.get(str(value).strip("{}"), value) for name, value in body.items()}
    )


def told(client: FlaskClient, credentials: dict[str, Any], door: str, body: Any = None) -> tuple[int, Any, Any]:
    """All that an answer tells: status, document, headers."""
    client.delete_cookie(COOKIE)
    for name, value in credentials.get("cookies", {}).items():
        client.set_cookie(name, value)
    method, path = door.split()
    sent: dict[str, Any] = {} if body is None else {"json": body}
    if isinstance(body, bytes):
        sent = {"data": {"file": (BytesIO(body), "list.csv")}}
    answer = client.open(f"{API}{path}", method=method, headers=credentials.get("headers"), **sent)
    headers = sorted((name, value) for name, value in answer.headers if name not in CHANGING)
    return answer.status_code, answer.get_json(silent=True), headers


@pytest.mark.parametrize(("asker", "door", "body"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_anothers_is_as_if_there_were_none(
    client: FlaskClient, provinces: tuple[Province, Province], asker: str, door: str, body: Any
) -> None:
    ours, theirs = provinces
    nobodys = dict.fromkeys(theirs.numbers, NOBODYS)
    first, second = (
        told(client, ours.credentials[asker], door.format(**numbers), filled(body, numbers))
        for numbers in (theirs.numbers, nobodys)
    )
    assert first == second
    assert MARK not in json.dumps(first)


@pytest.mark.parametrize(("asker", "door", "body"), SENT, ids=lambda value: value if isinstance(value, str) else "")
def test_so_it_is_in_what_is_sent(
    client: FlaskClient, provinces: tuple[Province, Province], asker: str, door: str, body: Any
) -> None:
    ours, theirs = provinces
    first, second = (
        told(client, ours.credentials[asker], spelled(door, ours.numbers, numbers), filled(body, numbers))
        for numbers in (theirs.numbers, dict.fromkeys(theirs.numbers, NOBODYS))
    )
    assert first == second
    assert first[0] >= 400


def spelled(door: str, path: dict[str, int], query: dict[str, int]) -> str:
    """`door` with numbers of the one in its path, and of the other after {!."""
    return re.sub(r"{(!?)(\w+)}", lambda found: str((query if found[1] else path)[found[2]]), door)


def log_in(client: FlaskClient, login: str) -> list[Any]:
    """As often as it takes to be locked out."""
    body = {"login": login, "password": "not the password"}
    return [steady(told(client, {}, "POST /organisers/sessions", body)) for _ in range(7)]


def steady(answer: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    """`answer` without the seconds that are left, which pass."""
    status, document, headers = answer
    document.pop("retry_after", None)
    return status, document, [one for one in headers if one[0] not in ("Retry-After", "Content-Length")]


def test_a_login_is_locked_and_refused_alike_whether_it_exists(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    organiser, _ = make_organiser(login="chosen")
    opening.insert_account("opened", name="新", password=None, organisation_id=organiser.organisation_id)
    work: list[str] = []

    class Counted(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
            work.append(str(hash).rpartition("$")[0].rpartition("$")[0])  # what it costs, without salt and sum
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Counted(time_cost=1, memory_cost=64, parallelism=1))
    answers, works = [], []
    for login in ("chosen", "opened", "nobody"):
        work.clear()
        answers.append(log_in(client, login))
        works.append(list(work))
    assert answers[0] == answers[1] == answers[2]
    assert [one[0] for one in answers[0]] == [401] * 5 + [429] * 2
    # Passwords are worked on alike too: once an attempt, until the door is locked.
    assert works[0] == works[1] == works[2]
    assert len(works[0]) == 5


@pytest.mark.parametrize("login", ["chosen", "opened", "nobody"])
def test_a_recovery_is_refused_alike(client: FlaskClient, login: str) -> None:
    organiser, _ = make_organiser(login="chosen")
    opening.insert_account("opened", name="新", password=None, organisation_id=organiser.organisation_id)
    body = {"login": login, "code": "WRONG-CODE", "password": "another horse battery"}
    status, document, _ = told(client, {}, "POST /organisers/recovery", body)
    assert (status, document["code"]) == (403, "recovery_invalid")


def test_a_client_is_refused_alike_whether_it_exists(client: FlaskClient, provinces: tuple[Province, Province]) -> None:
    theirs = provinces[1].texts["client_id"]
    form = {"grant_type": "client_credentials", "client_secret": "wrong"}
    known, unknown = (
        client.post(f"{API}/oauth/token", data={**form, "client_id": number}) for number in (theirs, "nobody")
    )
    assert known.status_code == 401
    assert (known.status_code, known.json, known.headers) == (unknown.status_code, unknown.json, unknown.headers)
