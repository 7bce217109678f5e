"""The audit by bitmaps: it agrees with what is held, and names what a counter, a set or a gateway's memory has lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from service.live import muster
from service.live.gateway import Gateway
from service.live.inspection import defects, gather, inspect
from service.live.presence import Attribution, Holding, flush
from service.live.scripts import Slot, Timing, key, source
from tests.live.stage import Stage, keeping, member, serving, until

TIMING = Timing(lease=5000, stale=1500)
HOMES = ("1.2.3", "1.2.4", "1.5")
MEMBERS = st.dictionaries(st.integers(0, 70), st.sampled_from(HOMES), max_size=30)


def scripted(client: redis.Redis, name: str) -> Callable[..., Awaitable[Any]]:
    """A script as gateways have it, of a client that blocks."""
    script = client.register_script(source(name))

    async def call(*, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        return script(keys=keys, args=args)

    return call


def attribution(member: int, home: str) -> Attribution:
    return Attribution(home, "54.5401", "h5" if member % 2 else "ios", "hls")


class Workers:
    """Three gateways' holdings of one settled slot, and the sets that their connections would name."""

    def __init__(self, client: redis.Redis, slot: Slot, held: Sequence[dict[int, str]]) -> None:
        client.flushdb()
        client.hset(key(slot, "state"), mapping={"epoch": "1-1", "version": 1, "rebuilding": 0})
        self.client, self.slot = client, slot
        boots = count(1)
        self.holdings = [Holding(slot, boots=lambda: f"boot-{next(boots)}") for _ in held]
        self.held = held
        for holding, members in zip(self.holdings, held, strict=True):
            for one, home in members.items():
                holding.join(one, attribution(one, home))

    async def flush(self) -> None:
        for holding in self.holdings:
            await flush(scripted(self.client, "flush"), holding, timing=TIMING, renew=True)

    async def show(self) -> None:
        for holding, members in zip(self.holdings, self.held, strict=True):
            if holding.settled:
                present = {one: attribution(one, home) for one, home in members.items()}
                script = scripted(self.client, "muster")
                assert await muster.show(script, holding, present, holding.told, seconds=30)


@settings(max_examples=40, deadline=None)
@given(st.lists(MEMBERS, min_size=1, max_size=3))
def law(client: redis.Redis, shown: list[dict[int, str]]) -> None:
    homes = {one: home for members in shown for one, home in members.items()}
    held = [{one: homes[one] for one in members} for members in shown]
    workers = Workers(client, Slot(7), held)
    asyncio.run(workers.flush())
    asyncio.run(workers.show())
    found = inspect(client, Slot(7), timing=TIMING)
    assert found is not None
    assert (found.differences, found.suspects) == ({}, {})
    evidence = gather(client, Slot(7), TIMING)
    assert evidence is not None
    assert (evidence.union, evidence.moved) == (len(homes), 0)


def test_bitmaps_and_counters_agree_whoever_is_held_where(valkey: redis.Redis) -> None:
    law(valkey)


def test_movement_since_the_musters_excuses_as_many_members(valkey: redis.Redis) -> None:
    slot = Slot(7, 1, 2)
    workers = Workers(valkey, slot, [{1: "1.2.3", 3: "1.5"}, {3: "1.5", 5: "1.2.3"}])
    asyncio.run(workers.flush())
    asyncio.run(workers.show())
    workers.holdings[0].join(7, attribution(7, "1.5"))
    workers.holdings[1].leave(3)
    asyncio.run(workers.flush())
    evidence = gather(valkey, slot, TIMING)
    assert evidence is not None
    assert (evidence.online, evidence.union, evidence.moved) == (4, 3, 2)
    assert defects(valkey, [slot], timing=TIMING, recount=True) == {}
    valkey.hincrby(key(slot, "organisations"), "1", 3)
    found = inspect(valkey, slot, timing=TIMING)
    assert found is not None
    assert found.suspects == {"organisations 1": 4}
    valkey.hdel(key(slot, "members"), "1", "3", "5", "7")
    found = inspect(valkey, slot, timing=TIMING)
    assert found is not None
    assert found.differences == {"online": -3}


def test_a_muster_that_a_flush_overtook_is_not_compared(valkey: redis.Redis) -> None:
    workers = Workers(valkey, Slot(7), [{1: "1.5"}])
    asyncio.run(workers.flush())
    [holding] = workers.holdings
    late = holding.sequence
    asyncio.run(workers.flush())
    holding.sequence = late
    assert not asyncio.run(muster.show(scripted(valkey, "muster"), holding, {}, {}, seconds=30))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (("HINCRBY", "organisations", "2", 1), {"organisations 2": 1}),
        (("HINCRBY", "places", "54", -1), {"places 54": -1}),
        (("HSET", "sources", "tv", 1), {"sources tv": 1}),
        (("HINCRBY", "state", "joined", 1), {"joined": 1}),
        (("HINCRBY", "state", "connections", 2), {"connections": 2}),
        (("HDEL", "members", "2"), {"online": -1}),
        (("SETBIT", "joined", 2, 0), {"never joined": 1, "joined": 1}),
        (("HSET", "sizes", "boot-1", 5), {"sizes boot-1": 3}),
        (("SREM", "held:boot-1", "2"), {"held boot-1 only in the gateway": 1, "sizes boot-1": 1}),
        (("SADD", "held:boot-1", "99"), {"held boot-1 only in Valkey": 1, "sizes boot-1": -1}),
    ],
)
def test_whatever_is_spoilt_in_valkey_is_named(
    valkey: redis.Redis, spoil: tuple[str, str, str | int], named: dict[str, int]
) -> None:
    workers = Workers(valkey, Slot(7), [{1: "1.2.3", 2: "1.2.3"}, {2: "1.2.3"}])
    asyncio.run(workers.flush())
    asyncio.run(workers.show())
    command, name, *arguments = spoil
    valkey.eval("redis.call(unpack(ARGV))", 0, command, key(Slot(7), name), *map(str, arguments))
    asyncio.run(workers.show())
    assert defects(valkey, [Slot(7)], timing=TIMING, recount=False) == named


def drop_connection(gateway: Gateway) -> None:
    [connection] = [one for one in gateway.connections if one.member == 2]
    connection.audience = None


def drop_bookkeeping(gateway: Gateway) -> None:
    [audience] = gateway.audiences.values()
    audience.tallies[0].holding.leave(2)


@pytest.mark.parametrize(
    ("drop", "named"),
    [(drop_connection, {"only in Valkey": 1}), (drop_bookkeeping, {"only in the gateway": 1})],
)
def test_whoever_a_gateway_has_lost_from_its_memory_is_missed(
    stage: Stage, drop: Callable[[Gateway], None], named: dict[str, int]
) -> None:
    asyncio.run(forgetful(stage, drop, named))


async def forgetful(stage: Stage, drop: Callable[[Gateway], None], named: dict[str, int]) -> None:
    """Three members, one with two devices, on one gateway, which then forgets a member."""
    slot = Slot(stage.stream())
    config = stage.config(audit_seconds=0.1)
    client = redis.Redis.from_url(stage.valkey.url)
    with keeping(stage, slot.stream), client:
        async with serving(config) as (gateway, port), AsyncExitStack() as stack:
            for number in (1, 2, 3, 3):
                await (await stack.enter_async_context(member(port, number))).join(slot.stream)

            def found() -> dict[str, int]:
                wrong = defects(client, [slot], timing=Timing.of(config), recount=True)
                return {name.split(" ", 2)[-1]: by for name, by in wrong.items() if name.startswith("held ")}

            def shown() -> bool:
                evidence = gather(client, slot, Timing.of(config))
                return evidence is not None and evidence.union == evidence.online == 3 and evidence.moved == 0

            await until(shown)
            assert defects(client, [slot], timing=Timing.of(config), recount=True) == {}
            drop(gateway)
            await until(lambda: found() == named)
