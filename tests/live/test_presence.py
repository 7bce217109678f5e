"""A worker's holding: what it sends, what it sends again, and when it begins anew."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import redis
import redis.asyncio

from service.live.figures import read_snapshot
from service.live.presence import LIMIT, Attribution, Batch, Holding, Reply, Status, Unsettled, flush
from service.live.scripts import Slot, Timing, key, slots_of, source

TIMING = Timing(lease=5000, stale=1500)
HOME = Attribution("1.2.3", "54.5401", "h5", "hls")
WIRE = "1.2.3;54.5401;h5;hls"


def holding() -> Holding:
    boots = count(1)
    return Holding(Slot(7), boots=lambda: f"boot-{next(boots)}")


def reply(status: Status = "applied", *, epoch: str = "e") -> Reply:
    now = datetime.now(UTC)
    return Reply(status, epoch, online=1, connections=1, joined=1, as_of=now, reason=None, in_doubt=0)


def sent(found: Holding, **options: Any) -> Batch:
    batch = found.batch(**options)
    assert batch is not None
    return batch


def applied(found: Holding, **options: Any) -> Batch:
    batch = sent(found, **options)
    found.acknowledge(reply())
    return batch


def test_only_the_first_join_and_the_last_leave_are_sent() -> None:
    found = holding()
    found.join(1, HOME)
    found.join(1, HOME._replace(channel="ios"))
    assert applied(found).joins == ((1, WIRE),)
    found.leave(1)
    assert found.batch() is None
    found.leave(1)
    assert applied(found).leaves == (1,)
    found.leave(1)
    assert found.batch() is None


def test_connections_are_absolute() -> None:
    found = holding()
    found.join(1, HOME)
    found.connect()
    found.connect()
    assert applied(found).connections == 2
    found.disconnect()
    batch = applied(found)
    assert (batch.connections, batch.joins, batch.leaves) == (1, (), ())


def test_leaving_and_coming_back_within_one_flush_changes_nothing() -> None:
    found = holding()
    found.join(1, HOME)
    applied(found)
    found.leave(1)
    found.join(1, HOME._replace(channel="ios"))
    assert found.batch() is None


def test_who_came_and_went_within_one_flush_has_joined_all_the_same() -> None:
    found = holding()
    found.join(1, HOME)
    found.leave(1)
    batch = applied(found)
    assert (batch.joins, batch.leaves, batch.passed) == ((), (), (1,))
    assert found.batch() is None


def test_a_batch_under_way_is_not_given_out_twice() -> None:
    found = holding()
    found.join(1, HOME)
    sent(found)
    found.join(2, HOME)
    assert found.batch() is None


def test_a_lost_batch_is_sent_again_unchanged() -> None:
    found = holding()
    found.join(1, HOME)
    first = sent(found)
    found.leave(1)
    found.join(2, HOME)
    found.lost()
    assert sent(found) is first
    found.acknowledge(reply("repeated"))
    second = sent(found)
    assert (second.sequence, second.leaves, second.joins) == (2, (1,), ((2, WIRE),))


def test_leaves_go_before_joins_across_chunks() -> None:
    found = holding()
    for member in range(4):
        found.join(member, HOME)
    applied(found)
    for member in range(4):
        found.leave(member)
        found.join(10 + member, HOME)
    chunks = [applied(found, limit=3) for _ in range(3)]
    assert [(len(one.leaves), len(one.joins), one.more) for one in chunks] == [
        (3, 0, True),
        (1, 2, True),
        (0, 2, False),
    ]


def test_a_restart_takes_a_new_boot_id_and_pushes_everybody() -> None:
    found = holding()
    for member in range(5):
        found.join(member, HOME)
    applied(found)
    found.leave(0)
    found.join(9, HOME)
    first = sent(found)
    found.leave(9)
    found.acknowledge(reply("restart"))
    chunks = [applied(found, limit=3) for _ in range(2)]
    assert {one.boot for one in chunks}.isdisjoint({first.boot})
    assert [one.sequence for one in chunks] == [1, 2]
    assert [one.epoch for one in chunks] == ["", "e"]
    assert sorted(member for one in chunks for member, _ in one.joins) == [1, 2, 3, 4]
    assert [one.behind for one in chunks] == [1, 0]
    # It left before Valkey said anything, and had joined.
    assert [member for one in chunks for member in one.passed] == [9]
    assert all(one.leaves == () for one in chunks)


def test_a_renewal_that_finds_nobody_is_the_last() -> None:
    found = holding()
    assert found.batch(renew=True) is None
    assert found.empty
    found.join(1, HOME)
    first = applied(found, renew=True)
    assert not first.final
    assert not found.empty
    found.leave(1)
    assert not applied(found).final
    assert not found.empty
    last = applied(found, renew=True)
    assert last.final
    assert found.empty
    found.join(1, HOME)
    again = applied(found)
    assert (again.boot != first.boot, again.sequence) == (True, 1)


def test_who_waits_though_it_is_late_is_told_with_the_batch() -> None:
    found = holding()
    for member in range(4):
        found.join(member, HOME)
    assert applied(found, limit=4, late=True).behind == 0
    for member in range(3):
        found.leave(member)
        found.join(10 + member, HOME)
    assert [applied(found, limit=2, late=late).behind for late in (False, True, True)] == [0, 2, 0]


def test_a_lease_may_be_kept_where_nobody_is_held() -> None:
    found = holding()
    first = applied(found, renew=True, keep=True)
    assert (first.joins, first.final) == ((), False)
    assert applied(found, renew=True).final
    assert found.empty


def test_no_renewal_is_the_last_while_a_socket_is_open() -> None:
    found = holding()
    found.connect()
    assert not applied(found, renew=True).final


class Script:
    """Stands for flush.lua: answers, or fails, as it is told."""

    def __init__(self, *answers: Status | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[Sequence[str | int]] = []

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        self.calls.append(args)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer.encode(), b"e", 1, 1, 1, 1_700_000_000_000, b"", 0]


def test_a_failure_is_raised_and_the_batch_kept() -> None:
    found = holding()
    found.join(1, HOME)
    script = Script(redis.TimeoutError(), "applied")
    with pytest.raises(redis.TimeoutError):
        asyncio.run(flush(script, found, timing=TIMING))
    asyncio.run(flush(script, found, timing=TIMING))
    assert script.calls[0] == script.calls[1]


def test_what_happened_since_a_batch_was_lost_is_sent_with_it() -> None:
    found = holding()
    found.join(1, HOME)
    script = Script(redis.TimeoutError(), "repeated", "applied")
    with pytest.raises(redis.TimeoutError):
        asyncio.run(flush(script, found, timing=TIMING))
    found.join(2, HOME)
    asyncio.run(flush(script, found, timing=TIMING))
    assert script.answers == []
    assert found.batch() is None


def test_a_repeat_renews_nothing_so_the_renewal_follows() -> None:
    found = holding()
    found.join(1, HOME)
    script = Script(redis.TimeoutError(), "repeated", "applied")
    with pytest.raises(redis.TimeoutError):
        asyncio.run(flush(script, found, timing=TIMING))
    asyncio.run(flush(script, found, timing=TIMING, renew=True))
    assert script.answers == []


def test_everything_that_waited_is_sent() -> None:
    found = holding()
    for member in range(5):
        found.join(member, HOME)
    script = Script("applied", "restart", "applied", "applied", "applied")
    answer = asyncio.run(flush(script, found, timing=TIMING, limit=2))
    assert answer is not None
    assert answer.basis == "exact"
    assert script.answers == []
    assert found.batch() is None


def test_endless_restarts_end() -> None:
    found = holding()
    found.join(1, HOME)
    endless: list[Status] = ["restart"] * 9
    with pytest.raises(Unsettled):
        asyncio.run(flush(Script(*endless), found, timing=TIMING))
    assert sent(found).joins == ((1, WIRE),)


def test_nothing_to_say_is_not_said() -> None:
    assert asyncio.run(flush(Script(), holding(), timing=TIMING)) is None


def test_both_kinds_of_client_speak_to_the_same_scripts(valkey: redis.Redis, valkey_url: str) -> None:
    async def story() -> Reply | None:
        async with redis.asyncio.Redis.from_url(valkey_url) as client:
            script = client.register_script(source("flush"))
            found = holding()
            for member in range(1, 1201):
                found.join(member, HOME)
                found.connect()
            return await flush(script, found, timing=TIMING)

    answer = asyncio.run(story())
    assert answer is not None
    assert (answer.status, answer.online, answer.connections, answer.joined) == ("applied", 1200, 1200, 1200)
    seen = read_snapshot(valkey, slots_of(7, 1), timing=TIMING, organisations=[1, 2, 3, 4], places=["54", "5401", "50"])
    assert seen.organisations == {1: 1200, 2: 1200, 3: 1200, 4: 0}
    assert seen.places == {"54": 1200, "5401": 1200, "50": 0}
    assert (seen.channels, seen.sources, seen.epoch) == ({"h5": 1200}, {"hls": 1200}, answer.epoch)


def test_as_many_as_fit_into_one_call_join_pass_by_and_leave(valkey: redis.Redis, valkey_url: str) -> None:
    async def story() -> list[tuple[int, int]]:
        async with redis.asyncio.Redis.from_url(valkey_url) as client:
            script, found, seen = client.register_script(source("flush")), holding(), []
            for happens in (found.join, lambda member, _: found.leave(member), found.join):
                for member in range(1, 2 * LIMIT + 1):
                    happens(member, HOME)
                answer = await flush(script, found, timing=TIMING)
                assert answer is not None
                seen.append((answer.online, answer.joined))
            for member in range(2 * LIMIT + 1, 3 * LIMIT + 1):
                found.join(member, HOME)
                found.leave(member)
            passed = await flush(script, found, timing=TIMING)
            assert passed is not None
            return [*seen, (passed.online, passed.joined)]

    everybody = 2 * LIMIT
    assert asyncio.run(story()) == [
        (everybody, everybody),
        (0, everybody),
        (everybody, everybody),
        (everybody, 3 * LIMIT),
    ]


def test_a_script_short_of_memory_writes_nothing(valkey: redis.Redis, valkey_url: str) -> None:
    """Half a flush would drift; Valkey refuses the whole before its first write."""
    found = holding()
    found.join(1, HOME)

    async def attempt() -> None:
        async with redis.asyncio.Redis.from_url(valkey_url) as client:
            await flush(client.register_script(source("flush")), found, timing=TIMING)

    asyncio.run(attempt())
    found.leave(1)
    found.join(2, HOME)
    before = valkey.hgetall(key(Slot(7), "organisations")), valkey.hgetall(key(Slot(7), "members"))
    valkey.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            asyncio.run(attempt())
    finally:
        valkey.config_set("maxmemory", 0)
    assert (valkey.hgetall(key(Slot(7), "organisations")), valkey.hgetall(key(Slot(7), "members"))) == before
    asyncio.run(attempt())
    assert read_snapshot(valkey, slots_of(7, 1), timing=TIMING, organisations=[3]).organisations == {3: 1}
