"""The stand-in for WeChat keeps WeChat's rules and fails as it is told."""

import asyncio
import base64
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import httpx
import pytest

from service.sandbox import wechat as stand_in
from service.sandbox.doors import Doors, serve
from service.sandbox.faults import Answer, Fault
from service.sandbox.wechat import APPID, SECRET, WeChat
from tests.ports import free_port
from tests.waiting import eventually


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wechat(clock: Clock) -> WeChat:
    return WeChat(clock=clock)


def asked(code: str, **changes: str) -> dict[str, str]:
    query = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"}
    return {name: value for name, value in (query | changes).items() if value}


def errcode(answer: Answer) -> int:
    """The errcode of a refusal, 0 of a session, as a client reads it."""
    assert (answer.status, answer.kind) == (200, "text/plain")
    assert answer.body is not None
    if answer.body.get("errcode"):
        assert "rid: " in answer.body["errmsg"]
    return int(answer.body.get("errcode", 0))


def exchange(wechat: WeChat, code: str, **changes: str) -> int:
    return errcode(wechat.exchange(asked(code, **changes)))


def test_a_code_is_good_at_its_own_door_only(wechat: WeChat) -> None:
    token = stable_token(wechat)
    doors = {
        "login": lambda code: wechat.exchange(asked(code)),
        "oauth": lambda code: wechat.authorise(asked("") | {"code": code}),
        "phone": lambda code: wechat.phone_number({"access_token": token}, {"code": code}),
    }
    for kind in doors:
        code = wechat.login("o-1", kind=kind, phone="13800000001")
        for other in doors.keys() - {kind}:
            assert errcode(doors[other](code)) == 40029
        assert [errcode(doors[kind](code)) for _ in range(2)] == [0, 40163]


def test_the_stable_token_is_one_until_its_last_minutes_and_then_overlaps(wechat: WeChat, clock: Clock) -> None:
    first = stable_token(wechat)
    clock.seconds = 6800
    assert stable_token(wechat) == first
    clock.seconds = 6950
    second = stable_token(wechat)
    assert second != first
    assert [number_with(wechat, token) for token in (first, second, "nonsense")] == [0, 0, 40001]
    clock.seconds = 7300
    assert number_with(wechat, first) == 42001


def stable_token(wechat: WeChat) -> str:
    answer = wechat.stable_token({"grant_type": "client_credential", "appid": APPID, "secret": SECRET})
    assert answer.body is not None
    return str(answer.body["access_token"])


def number_with(wechat: WeChat, token: str) -> int:
    code = wechat.login("o-1", kind="phone", phone="13800000001")
    return errcode(wechat.phone_number({"access_token": token}, {"code": code, "openid": "o-1"}))


def test_a_code_gives_a_session_without_errcode(wechat: WeChat) -> None:
    answer = wechat.exchange(asked(wechat.login("o-ana")))
    assert answer.body is not None
    assert answer.body.keys() == {"openid", "session_key"}
    assert answer.body["openid"] == "o-ana"
    assert len(base64.b64decode(answer.body["session_key"], validate=True)) == 16


def test_a_unionid_is_given_where_there_is_one(wechat: WeChat) -> None:
    answer = wechat.exchange(asked(wechat.login("o-ana", "u-ana")))
    assert answer.body is not None
    assert answer.body["unionid"] == "u-ana"


def test_a_code_is_good_once(wechat: WeChat) -> None:
    code = wechat.login("o-ana")
    assert [exchange(wechat, code) for _ in range(3)] == [0, 40163, 40163]


def test_an_unknown_code(wechat: WeChat) -> None:
    assert exchange(wechat, "never seen") == 40029


def test_a_code_lives_five_minutes(wechat: WeChat, clock: Clock) -> None:
    early, late = wechat.login("o-ana"), wechat.login("o-ana")
    clock.seconds = 299.9
    assert exchange(wechat, early) == 0
    clock.seconds = 300.0
    assert exchange(wechat, late) == 40029


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"appid": "wx-other"}, 40013),
        ({"secret": "guess"}, 40125),
        ({"grant_type": "client_credential"}, 40002),
        ({"grant_type": ""}, 40002),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"js_code": ""}, 41008),
    ],
)
def test_a_wrong_request_spends_no_code(wechat: WeChat, changes: dict[str, str], expected: int) -> None:
    code = wechat.login("o-ana")
    assert exchange(wechat, code, **changes) == expected
    assert exchange(wechat, code) == 0


@pytest.mark.parametrize(("kind", "expected"), [("busy", -1), ("rate_limited", 45011)])
def test_busy_for_a_while_spends_no_code(wechat: WeChat, kind: str, expected: int) -> None:
    wechat.fail(Fault(kind, times=2))
    code = wechat.login("o-ana")
    assert [exchange(wechat, code) for _ in range(3)] == [expected, expected, 0]


def test_a_risky_user_is_refused_and_nobody_else(wechat: WeChat) -> None:
    wechat.fail(Fault("risk", times=1000, openid="o-cleo"))
    assert exchange(wechat, wechat.login("o-cleo")) == 40226
    assert exchange(wechat, wechat.login("o-ana")) == 0
    assert exchange(wechat, wechat.login("o-cleo")) == 40226


def test_a_lost_reply_has_spent_the_code(wechat: WeChat) -> None:
    wechat.fail(Fault("lost_reply", times=1))
    code = wechat.login("o-ana")
    assert wechat.exchange(asked(code)).body is None
    assert exchange(wechat, code) == 40163


def test_a_delay_and_a_lost_reply_together(wechat: WeChat) -> None:
    wechat.fail(Fault("delay", times=1, seconds=1.5))
    wechat.fail(Fault("lost_reply", times=1))
    answer = wechat.exchange(asked(wechat.login("o-ana")))
    assert (answer.body, answer.delay) == (None, 1.5)


def test_faults_can_be_called_off(wechat: WeChat) -> None:
    wechat.fail(Fault("busy", times=1000))
    wechat.heal()
    assert exchange(wechat, wechat.login("o-ana")) == 0


def test_memory_is_bounded(wechat: WeChat, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "MOST_CODES", 3)
    codes = [wechat.login("o-ana") for _ in range(5)]
    assert [exchange(wechat, code) for code in codes][:2] == [40029, 40029]
    assert len(wechat._codes) <= 3
    clock.seconds = 1000
    wechat.login("o-ana")
    assert len(wechat._codes) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sandbox/codes", b"{"),
        ("/sandbox/codes", b"[]"),
        ("/sandbox/codes", b"{}"),
        ("/sandbox/codes", b'{"openid": 7}'),
        ("/sandbox/codes", b'{"openids": ["a", ""]}'),
        ("/sandbox/codes", b'{"openids": "abc"}'),
        ("/sandbox/faults", b"{}"),
        ("/sandbox/faults", b'{"kind": "weather"}'),
        ("/sandbox/faults", b'{"kind": "busy", "times": 0}'),
        ("/sandbox/faults", b'{"kind": "busy", "times": "many"}'),
    ],
)
def test_nonsense_at_the_doors_is_refused(wechat: WeChat, path: str, body: bytes) -> None:
    assert Doors(wechat).answer("POST", path, body).status == 400


@contextmanager
def running(wechat: WeChat) -> Iterator[str]:
    """The stand-in's address while it serves from a thread."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve(Doors(wechat), host="127.0.0.1", port=0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(finish(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def finish(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def test_over_http(wechat: WeChat) -> None:
    with running(wechat) as url, httpx.Client(base_url=url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        codes = client.post("/sandbox/codes", json={"openids": ["o-1", "o-2"]}).json()["codes"]
        answers = [client.get("/sns/jscode2session", params=asked(code)) for code in codes]
        assert [answer.json()["openid"] for answer in answers] == ["o-1", "o-2"]
        assert {answer.headers["content-type"] for answer in answers} == {"text/plain"}
        assert client.get("/sns/jscode2session", params=asked(codes[0])).json()["errcode"] == 40163
        assert client.get("/nowhere").status_code == 404


def test_faults_over_http(wechat: WeChat) -> None:
    with running(wechat) as url, httpx.Client(base_url=url) as client:
        (code,) = client.post("/sandbox/codes", json={"openid": "o-1"}).json()["codes"]
        for fault in ({"kind": "lost_reply"}, {"kind": "busy"}):
            assert client.post("/sandbox/faults", json=fault).status_code == 200
        assert client.get("/sns/jscode2session", params=asked(code)).json()["errcode"] == -1
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/sns/jscode2session", params=asked(code))
        assert client.get("/sns/jscode2session", params=asked(code)).json()["errcode"] == 40163
        client.post("/sandbox/faults", json={"kind": "busy", "times": 1000})
        assert client.delete("/sandbox/faults").status_code == 200
        assert client.get("/sns/jscode2session", params=asked("x")).json()["errcode"] == 40029


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_answered_and_hung_up_on(wechat: WeChat, head: bytes) -> None:
    with running(wechat) as url, closing(HTTPConnection(url.removeprefix("http://"))) as connection:
        connection.connect()
        connection.sock.sendall(head)
        assert connection.sock.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert connection.sock.recv(4096) == b""


def test_a_delayed_answer_comes(wechat: WeChat) -> None:
    wechat.fail(Fault("delay", times=1, seconds=0.2))
    with running(wechat) as url, httpx.Client(base_url=url) as client:
        (code,) = client.post("/sandbox/codes", json={"openid": "o-1"}).json()["codes"]
        with pytest.raises(httpx.ReadTimeout):
            client.get("/sns/jscode2session", params=asked(code), timeout=0.05)
        assert client.get("/sns/jscode2session", params=asked(code)).json()["errcode"] == 40163


def test_as_a_process_of_its_own() -> None:
    port = free_port()
    command = [sys.executable, "-m", "service.sandbox", "--port", str(port)]
    with subprocess.Popen(command) as process:
        eventually(lambda: healthy(port), within=20)
        process.terminate()
        assert process.wait(10) == 0


def healthy(port: int) -> Any:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
    except (ConnectionError, RemoteDisconnected):
        return False
