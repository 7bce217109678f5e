"""Parts of a running installation die while members come and go: two gateway workers and a worker, as in production.

After every fault: the count right within its bound, every stay that the members remember in the ledger and no other,
nothing left over, and in no log an exception that is not a trouble named and borne. (A lost master of a cluster is in
test_cluster.py, a peer that is gone and a clock that is off in test_peer_faults.py.)
"""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import uvloop

from service.live.audit import audit
from service.live.scripts import key, slots_of
from tests.live.guests import Guest, Guests, Row, differing
from tests.live.processes import Running, running, working
from tests.live.stage import Stage, stopped, until
from tests.logs import unhandled

MEMBERS = 16
# Members with a second device, and members that leave and join all the time.
DOUBLE, RESTLESS = range(1, 5), range(9, MEMBERS + 1)
# A gateway's members leave the count with its lease; ticks of the worker, and what a laden machine may add.
LEASE_SECONDS, TICKS_SECONDS, LADEN_SECONDS = 1.5, 2.0, 4.0
# Members lost under a living gateway are held in the count; nobody here is, but at a reload.
GRACE_SECONDS = 5


@dataclass
class Installation:
    """The servers, the gateway and the stream of one test."""

    stage: Stage
    gateway: Running
    logs: tuple[Path, ...]
    stream: int
    killed_at: float = 0.0

    def exact(self) -> bool:
        """Whether the count calls itself exact."""
        return self.stage.snapshot(self.stream).basis == "exact"

    def lie(self, guests: Guests) -> list[object]:
        """All about a count called exact that is outside what the members know, to whom nothing happens meanwhile."""
        seen = self.stage.snapshot(self.stream)
        fewest, most = guests.online()
        if seen.basis == "degraded" or fewest <= seen.online <= most:
            return []
        diaries = [(guest.number, guest.channel, guest.visits[-2:]) for guest in guests.guests]
        return [seen, (fewest, most), *diaries, *self.leases()]

    def leases(self) -> list[object]:
        """Valkey's time and what it knows of the workers."""
        with redis.Redis.from_url(self.stage.valkey.url) as client:
            keys = [key(slot, "leases") for slot in slots_of(self.stream, 1)]
            return [client.time(), *(client.zrange(one, 0, -1, withscores=True) for one in keys)]

    def settled(self, guests: Guests) -> bool:
        """Whether everybody is inside and the count says so to the last connection."""
        seen = self.stage.snapshot(self.stream)
        figures = (seen.online, seen.connections, seen.joined, seen.basis)
        return guests.at_rest() and figures == (MEMBERS, len(guests.guests), MEMBERS, "exact")

    def empty(self) -> bool:
        """Whether nobody is left in the count."""
        seen = self.stage.snapshot(self.stream)
        return (seen.online, seen.connections, seen.joined) == (0, 0, MEMBERS)

    def stays(self) -> list[Row]:
        """Every stay of the stream; one that lasts ends at infinity."""
        query = """SELECT member_id, channel, extract(epoch FROM joined_at)::float8,
            coalesce(extract(epoch FROM left_at), 'Infinity')::float8, coalesce(closed_by, '')
            FROM stays WHERE stream_id = %s ORDER BY joined_at"""
        return [Row(*values) for values in self.stage.sql(query, self.stream)]

    def differing(self, guests: Guests) -> list[object]:
        """What the members remember and the ledger does not, and the other way round."""
        return differing(guests.guests, self.stays(), killed_at=self.killed_at)


Blow = Callable[[Installation, Guests], Awaitable[None]]


@pytest.fixture(scope="module")
def running_gateway(stage: Stage) -> Iterator[tuple[Running, tuple[Path, ...]]]:
    """The processes, and their logs."""
    config = stage.config(stay_silence_seconds=3.0, restart_spread_seconds=0.5)
    with (
        tempfile.TemporaryDirectory() as name,
        working(config, Path(name)) as log,
        running(config, Path(name), workers=2) as gateway,
    ):
        yield gateway, (gateway.log, log)


@pytest.fixture
def at(stage: Stage, running_gateway: tuple[Running, tuple[Path, ...]]) -> Installation:
    gateway, logs = running_gateway
    return Installation(stage, gateway, logs, stage.stream(grace=GRACE_SECONDS))


@asynccontextmanager
async def visited(at: Installation) -> AsyncIterator[Guests]:
    """Everybody is there, half of them coming and going; at the end they leave."""
    people = [Guest(number, "h5", restless=number in RESTLESS) for number in range(1, MEMBERS + 1)]
    guests = Guests(at.gateway.port, at.stream, [*people, *(Guest(one, "android", restless=False) for one in DOUBLE)])
    async with asyncio.TaskGroup() as living:
        for guest in guests.guests:
            living.create_task(guests.live(guest))
        try:
            yield guests
        finally:
            guests.over.set()


async def survive(at: Installation, blow: Blow) -> None:
    """Strike while members come and go; everything must be right again, to the last stay."""
    async with visited(at) as guests:
        await until(lambda: at.stage.snapshot(at.stream).joined == MEMBERS and at.exact())
        await blow(at, guests)
        async with asyncio.timeout(LEASE_SECONDS + TICKS_SECONDS + LADEN_SECONDS):
            await until(at.exact)
            assert not at.lie(guests)
            guests.calm = True
            await until(lambda: at.settled(guests))
        with redis.Redis.from_url(at.stage.valkey.url) as client:
            assert audit(client, slots_of(at.stream, 1)).differences == {}
    await until(at.empty)
    try:
        await until(lambda: not at.differing(guests), within=12)
    except TimeoutError:
        assert at.differing(guests) == []


async def kill_a_worker(at: Installation, guests: Guests) -> None:
    """SIGKILL: its members come back to the other one, and are counted once."""
    at.killed_at = time.time()
    os.kill(at.gateway.workers()[0], signal.SIGKILL)
    await watched(at, guests, seconds=1.0)


async def stop_a_worker_past_its_lease(at: Installation, guests: Guests) -> None:
    """SIGSTOP: who stands still without a lease holds nobody in the count; then it brings its members back."""
    with stopped(at.gateway.workers()[0]):
        await until(lambda: not at.exact())
        await until(at.exact)
        assert at.stage.online(at.stream) < MEMBERS
    # Its lease is over: whom it holds is nobody's, and the count right without them, until it is awake and says so.
    await until(lambda: not at.lie(guests), within=LADEN_SECONDS)


async def empty_valkey(at: Installation, guests: Guests) -> None:
    """SIGKILL, and a start with nothing; some join and leave meanwhile."""
    process = at.stage.valkey.process
    assert process
    process.kill()
    process.wait(5)
    came = guests.came()
    await until(lambda: guests.came() > came + len(RESTLESS))
    at.stage.valkey.start()
    await watched(at, guests, seconds=1.0)


async def pause_valkey(at: Installation, guests: Guests) -> None:
    """SIGSTOP for longer than a flush has patience: it is executed after the next ones have been sent."""
    came = guests.came()
    with at.stage.frozen_valkey():
        await until(lambda: guests.came() > came + 2 * len(RESTLESS))
    await watched(at, guests, seconds=1.0)


async def stop_postgresql(at: Installation, guests: Guests) -> None:
    """The count goes on; what happens meanwhile is written afterwards."""
    at.stage.postgres.stop()
    try:
        await watched(at, guests, seconds=1.0)
        assert at.exact()
    finally:
        at.stage.postgres.start()


async def reload(at: Installation, guests: Guests) -> None:
    """HUP: new workers take over from the old ones, and no figure shows it."""
    guests.held = True
    old = set(at.gateway.workers())
    at.gateway.process.send_signal(signal.SIGHUP)
    while old & set(at.gateway.workers()):
        await watched(at, guests, seconds=0.1)
        assert at.exact()


async def watched(at: Installation, guests: Guests, *, seconds: float) -> None:
    """For a while no count that calls itself exact is anything else."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not at.lie(guests)
        await asyncio.sleep(0.03)


BLOWS = (kill_a_worker, stop_a_worker_past_its_lease, empty_valkey, pause_valkey, stop_postgresql, reload)


@pytest.mark.parametrize("blow", BLOWS)
def test_all_is_right_again(at: Installation, blow: Blow) -> None:
    uvloop.run(survive(at, blow))
    assert [line for log in at.logs for line in unhandled(log)] == []
