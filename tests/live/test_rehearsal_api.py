"""Log-in and check-in of synthetic members against a server that answers as told."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from service.live.rehearsal.api import Lane
from service.live.rehearsal.crowd import Crowd
from service.live.rehearsal.member import Member
from service.live.rehearsal.phases import check_everybody_in, finish, log_everybody_in
from service.live.rehearsal.plan import Candidate, Plan
from tests.live.stage import until

Scripted = tuple[int, dict[str, Any]]
SESSION: Scripted = (201, {"access_token": "good", "expires_in": 60})


class Script:
    """Answers of one path in order, the last one for ever; and what was asked. Status 0 hangs up."""

    def __init__(self, *answers: Scripted) -> None:
        self.answers = deque(answers)
        self.asked: list[dict[str, Any]] = []

    def answer(self, body: dict[str, Any]) -> Scripted:
        self.asked.append(body)
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]


class Codes(Script):
    """The sandbox: a new code for every openid."""

    def answer(self, body: dict[str, Any]) -> Scripted:
        self.asked.append(body)
        return 200, {"codes": [f"{openid}-{len(self.asked)}" for openid in body["openids"]]}


@asynccontextmanager
async def scripted(**scripts: Script) -> AsyncIterator[str]:
    """A server whose paths end in the scripts' names; gives its address."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1].decode().rsplit("/", 1)[-1].replace("-", "_")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            status, body = scripts[path].answer(json.loads(await reader.readexactly(size)))
            if not status:
                break
            text = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))
        writer.close()

    async def forgiving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(forgiving, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def crowd_at(url: str, *members: Candidate, **changes: Any) -> Crowd:
    values: dict[str, Any] = {"url": url, "wechat_api_url": url, "login_lanes": 2, "activity": 5} | changes
    return Crowd(Plan(gateway_url="http://127.0.0.1:1", stream=1, members=members, **values))


def logged_in(sessions: Script, codes: Script, *members: Candidate) -> tuple[Crowd, list[Member]]:
    async def story() -> tuple[Crowd, list[Member]]:
        async with scripted(sessions=sessions, codes=codes) as url:
            crowd, ready = crowd_at(url, *members), deque[Member]()
            await log_everybody_in(crowd, ready)
            return crowd, list(ready)

    return uvloop.run(story())


ANA = Candidate(openid="ana", invitation="welcome")


def test_everybody_logs_in_with_a_code_of_their_own() -> None:
    sessions, codes = Script(SESSION), Codes()
    crowd, ready = logged_in(sessions, codes, *(Candidate(openid=f"o{number}") for number in range(60)))
    assert crowd.tally.logged_in == len(ready) == 60
    assert {member.token for member in ready} == {"good"}
    assert len({asked["code"] for asked in sessions.asked}) == 60
    assert sum(len(asked["openids"]) for asked in codes.asked) == 60


def test_a_busy_server_is_asked_again_with_another_code() -> None:
    sessions = Script((503, {"code": "unavailable"}), SESSION)
    crowd, ready = logged_in(sessions, Codes(), ANA)
    assert len(ready) == 1
    assert sessions.asked[0]["code"] != sessions.asked[1]["code"]
    assert crowd.tally.errors == {"login_unavailable": 1}


def test_a_lost_answer_is_asked_again() -> None:
    crowd, ready = logged_in(Script((0, {}), SESSION), Codes(), ANA)
    assert len(ready) == 1
    assert crowd.tally.errors == {"login_unreachable": 1}


def test_an_invitation_used_by_an_earlier_run_is_left_out() -> None:
    sessions = Script((409, {"code": "invitation_used"}), SESSION)
    _, ready = logged_in(sessions, Codes(), ANA)
    assert len(ready) == 1
    assert ["invitation" in asked for asked in sessions.asked] == [True, False]


def test_who_is_refused_has_failed_and_holds_nobody_up() -> None:
    crowd, ready = logged_in(Script((403, {"code": "not_bound"})), Codes(), ANA)
    assert ready == []
    assert (crowd.tally.failed, crowd.tally.settled) == (1, 1)
    assert crowd.tally.errors == {"login_not_bound": 1}


def test_without_codes_nobody_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.live.rehearsal.phases.TRIES", 1)
    crowd, ready = logged_in(Script(SESSION), Script((500, {})), ANA)
    assert ready == []
    assert crowd.tally.failed == 1


def test_check_ins_repeat_the_same_reference() -> None:
    check_ins = Script((503, {"code": "unavailable"}), (201, {"id": 1}), (200, {"id": 1}))

    async def story() -> Crowd:
        async with scripted(check_ins=check_ins) as url:
            crowd = crowd_at(url, Candidate(token="t"), check_in_share=1.0, check_in_repeat_share=1.0)
            crowd.members[0].ever_joined = True
            await check_everybody_in(crowd, 0.0)
            return crowd

    crowd = uvloop.run(story())
    assert (crowd.tally.checked_in, crowd.tally.check_in_repeats) == (1, 1)
    assert len({asked["reference"] for asked in check_ins.asked}) == 1
    assert len(check_ins.asked) == 3


def test_an_idle_connection_that_was_closed_is_opened_again() -> None:
    async def story() -> list[int]:
        async with scripted(sessions=Script(SESSION, (0, {}), SESSION)) as url:
            lane = Lane(url)
            found = [(await lane.post("/sessions", {})).status for _ in range(2)]
            lane.close()
            return found

    assert uvloop.run(story()) == [201, 201]


def test_a_check_in_under_way_is_waited_for_at_the_end() -> None:
    async def story() -> Crowd:
        async with scripted(check_ins=Script((503, {"code": "unavailable"}), (201, {"id": 1}))) as url:
            crowd = crowd_at(url, Candidate(token="t"), check_in_share=1.0, check_in_repeat_share=0.0)
            crowd.members[0].ever_joined = True
            checking_in = asyncio.create_task(check_everybody_in(crowd, 0.0))
            await until(lambda: crowd.checking_in)
            await finish(crowd)
            checking_in.cancel()
            return crowd

    assert uvloop.run(story()).tally.checked_in == 1
