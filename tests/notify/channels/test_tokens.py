"""One access token for all: who fetches it, who throws it away, and what is done without Valkey."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis

from service import valkey
from service.config import Config
from service.notify.channels.wechat.tokens import MARGIN_SECONDS, TokenRefusedError, Tokens
from service.sandbox.tokens import Tokens as Wechats
from tests.notify.channels.conftest import TEMPLATE, Play, World, a_send

APP = {"appid": "wx1", "secret": "s"}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """WeChat's side of `stable_token`, counted, and processes that ask it."""

    def __init__(self, kept: redis.Redis) -> None:
        self.clock = Clock()
        self.wechat = Wechats("wx1", "s", self.clock)
        self.valkey = kept

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        assert "force_refresh" not in body
        # Long enough for others to come to the same door.
        time.sleep(0.02)
        found = self.wechat.stable(body)
        return {"errcode": found, "errmsg": "x"} if isinstance(found, int) else found

    def process(self, **changes: Any) -> Tokens:
        whole: dict[str, Any] = {**APP, "ask": self.ask, "clock": self.clock}
        return Tokens(changes.pop("valkey", self.valkey), **(whole | changes))


@pytest.fixture
def server(valkey: redis.Redis) -> Server:  # the fixture, not the module
    return Server(valkey)


def test_many_processes_fetch_one_token(server: Server) -> None:
    processes = [server.process() for _ in range(8)]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda number: processes[number % 8].current(), range(64)))
    assert len(set(found)) == 1
    assert server.wechat.fetched == 1


def test_a_token_is_left_before_it_ends(server: Server) -> None:
    one = server.process()
    first = one.current()
    server.clock.seconds += 7200 - MARGIN_SECONDS - 1
    assert one.current() == first
    server.clock.seconds += 1
    assert one.current() != first
    assert server.wechat.wrong(first) is None


def test_a_token_near_its_end_is_not_fetched_over_and_over(server: Server) -> None:
    server.process().current()
    server.clock.seconds += 6899
    server.valkey.flushall()
    late = server.process()
    late.current()
    fetched = server.wechat.fetched
    server.clock.seconds += 30
    late.current()
    assert server.wechat.fetched == fetched


def test_a_dead_token_is_replaced_once_by_all_who_find_it_dead(server: Server) -> None:
    processes = [server.process() for _ in range(8)]
    dead = {process.current() for process in processes}.pop()
    server.wechat.revoke()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda process: process.replace(dead), processes))
    assert len(found) == 1
    assert dead not in found
    assert server.wechat.fetched == 2


def test_who_comes_late_with_a_dead_token_throws_no_good_one_away(server: Server) -> None:
    early, late = server.process(), server.process()
    dead = early.current()
    assert late.current() == dead
    server.wechat.revoke()
    fresh = early.replace(dead)
    assert late.replace(dead) == fresh
    assert server.wechat.fetched == 2


def test_who_fetches_and_dies_holds_nobody_up_for_ever(server: Server) -> None:
    def die(_: dict[str, Any]) -> dict[str, Any]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        server.process(ask=die).current()
    assert server.process().current()


def test_without_valkey_every_process_asks_for_itself(server: Server, config: Config) -> None:
    with valkey.connect(replace(config, redis_url="redis://127.0.0.1:1")) as away:
        processes = [server.process(valkey=away) for _ in range(3)]
        assert len({process.current() for process in processes}) == 1
        assert server.wechat.fetched == 3
        dead = processes[0].current()
        server.wechat.revoke()
        assert processes[0].replace(dead) != dead


def test_a_refusal_is_told(server: Server) -> None:
    with pytest.raises(TokenRefusedError) as refused:
        server.process(secret="guess").current()
    assert refused.value.code == 40125


def test_no_token_is_in_what_a_refusal_says(server: Server) -> None:
    assert "guess" not in repr(server.process(secret="guess"))


@pytest.mark.parametrize("fault", ["token_dead", "token_expired"])
def test_a_send_with_a_dead_token_is_repeated_once(play: Play, fault: str) -> None:
    async def story(world: World) -> None:
        world.doors.messages.credits["o-ana", TEMPLATE] = 3
        channel = world.channel("subscribe")
        world.fail(fault)
        assert (await world.send(channel, a_send()))[0].kind == "done"
        assert world.wechat.tokens.fetched == 2
        world.fail(fault, times=2)
        (outcome,) = await world.send(channel, a_send())
        assert (outcome.kind, outcome.stops) == ("alarm", "channel")
        assert (await world.send(channel, a_send()))[0].kind == "done"

    play(story)


def test_many_sends_with_one_dead_token_fetch_one_new_one(play: Play) -> None:
    async def story(world: World) -> None:
        channels = [world.channel("subscribe") for _ in range(3)]
        people = [f"o-{number}" for number in range(30)]
        for person in people:
            world.doors.messages.credits[person, TEMPLATE] = 2
        for round_ in range(2):
            sends = [[a_send(person) for person in people[number::3]] for number in range(3)]
            found = await asyncio.gather(*(world.send(one, *some) for one, some in zip(channels, sends, strict=True)))
            assert {outcome.kind for some in found for outcome in some} == {"done"}
            assert world.wechat.tokens.fetched == round_ + 1
            world.wechat.tokens.revoke()

    play(story)


def test_a_refused_secret_is_an_alarm_and_a_busy_wechat_is_not(play: Play) -> None:
    async def story(world: World) -> None:
        world.fail("quota")
        (quota,) = await world.send("subscribe", a_send())
        assert (quota.kind, quota.code) == ("retry", "45009")
        world.fail("busy")
        assert (await world.send("subscribe", a_send()))[0].kind == "retry"

    play(story)
