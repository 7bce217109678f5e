"""The whole system against a Valkey Cluster: two gateway hosts, a worker, the organisers' feed; a master is lost."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
import uvloop

from service import valkey
from service.config import Config
from service.live.audit import audit
from service.live.disclosure import Outlook
from service.live.feed import Feed
from service.live.figures import note, read_snapshot
from service.live.nodes import View
from service.live.presence import Attribution, Holding, flush
from service.live.scripts import Slot, Timing, slots_of, source
from tests.live.cluster import MASTERS, Cluster, Node, clustered, number_of
from tests.live.processes import Running, running, working
from tests.live.stage import Member, Stage, member, stopped, until
from tests.ports import free_port
from tests.waiting import eventually

TIMING = Timing(lease=5000, stale=1500)
# More streams than masters, so that every master has some.
STREAMS = [Slot(number) for number in range(901, 913)]
DIVIDED = slots_of(913, 4)
FAILOVER_SECONDS = 15.0
HOME = Attribution("1.2.3", "54.5401", "h5", "hls")
# Answers later than that client waits; a second attempt would find the server at leisure again. Both are short: the
# script's clock is that of its CPU, and a master that is busy for two seconds of a laden machine loses its role.
WAITING_SECONDS = 0.2
SLOW = "redis.call('INCR', KEYS[1]) local over = os.clock() + 0.3 while os.clock() < over do end"
SLOWLY_INCREASED = "live:{s7}:test"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clustered() as found:
        yield found


@pytest.fixture
def config(stage: Stage, cluster: Cluster) -> Config:
    return stage.config(redis_url=cluster.url)


@pytest.fixture
def client(config: Config) -> Iterator[redis.Redis]:
    found = valkey.connect(config)
    yield found
    found.close()


def forget_scripts(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.ask("SCRIPT", "FLUSH")


async def come(config: Config, slots: Sequence[Slot], *members: int) -> list[str]:
    """Let members join in every slot, as a gateway would; what Valkey answered."""
    client = valkey.connect_async(config)
    try:
        script = client.register_script(source("flush"))
        statuses: list[str] = []
        for slot in slots:
            holding = Holding(slot)
            for number in members:
                holding.join(number, HOME)
            reply = await flush(script, holding, timing=TIMING)
            assert reply is not None
            statuses.append(reply.status)
        return statuses
    finally:
        await client.aclose()


def test_scripts_run_on_whichever_master_and_after_it_forgot_them(
    config: Config, cluster: Cluster, client: redis.Redis
) -> None:
    forget_scripts(cluster)
    assert asyncio.run(come(config, STREAMS, 1, 2)) == ["applied"] * len(STREAMS)
    forget_scripts(cluster)
    assert {read_snapshot(client, [stream], timing=TIMING).online for stream in STREAMS} == {2}
    assert {note(client, {stream: ""}, [2, 3], field="joined") for stream in STREAMS} == {1}
    assert len({cluster.master_of(stream).port for stream in STREAMS}) == MASTERS


def test_a_script_needs_no_master_but_its_own(config: Config, cluster: Cluster, client: redis.Redis) -> None:
    masters = {cluster.master_of(stream).port: stream for stream in STREAMS}
    mine, other = list(masters.values())[:2]
    stands_still = cluster.master_of(other).process
    assert stands_still
    asyncio.run(come(config, [mine], 1, 2))
    assert read_snapshot(client, [mine], timing=TIMING).online == 2
    forget_scripts(cluster)
    with stopped(stands_still.pid):
        assert read_snapshot(client, [mine], timing=TIMING).online == 2


def test_all_keys_of_one_tag_are_in_one_slot(config: Config, cluster: Cluster) -> None:
    asyncio.run(come(config, [*STREAMS, *DIVIDED], 1, 2))
    slots = {name.split("}")[0]: set[int]() for _, name in cluster.stored()}
    for slot, name in cluster.stored():
        slots[name.split("}")[0]].add(slot)
    assert {f"live:{{{slot.tag}" for slot in (*STREAMS, *DIVIDED)} <= slots.keys()
    assert len({cluster.master_of(slot).port for slot in DIVIDED}) > 1
    assert {len(found) for found in slots.values()} == {1}


def test_a_command_whose_answer_comes_too_late_is_not_sent_again(config: Config, cluster: Cluster) -> None:
    impatient = replace(config, valkey_timeout_seconds=WAITING_SECONDS)

    async def increase() -> None:
        loop_client = valkey.connect_async(impatient)
        try:
            await loop_client.get(SLOWLY_INCREASED)
            await loop_client.eval(SLOW, 1, SLOWLY_INCREASED)
        finally:
            await loop_client.aclose()

    node, client = cluster.master_of(Slot(7)), valkey.connect(impatient)
    client.get(SLOWLY_INCREASED)
    for increased in (lambda: client.eval(SLOW, 1, SLOWLY_INCREASED), lambda: asyncio.run(increase())):
        with pytest.raises(redis.TimeoutError):
            increased()
        assert node.ask("GET", SLOWLY_INCREASED) == "1"
        assert client.delete(SLOWLY_INCREASED) == 1
    client.close()


def migrate(cluster: Cluster, stream: Slot) -> Node:
    """Move the stream's slot to another master; who has it then."""
    node = cluster.master_of(stream)
    target = next(one for one in cluster.nodes if one is not node and one.role() == "master")
    slot, name = str(number_of(stream)), target.ask("CLUSTER", "MYID")
    assert node.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name) == "OK"
    return target


def hand_over(cluster: Cluster, stream: Slot) -> Node:
    """Let the replica take over, as before maintenance."""
    node = cluster.master_of(stream)
    replica = next(one for one in cluster.nodes if one.role() == "slave" and one.ask("ROLE")[2] == node.port)
    assert replica.ask("CLUSTER", "FAILOVER") == "OK"
    return replica


@pytest.mark.parametrize(("move", "stream"), [(migrate, Slot(21)), (hand_over, Slot(22, 1, 2))])
def test_a_stream_that_is_moved_loses_nothing(
    config: Config, cluster: Cluster, client: redis.Redis, move: Callable[[Cluster, Slot], Node], stream: Slot
) -> None:
    holding = Holding(stream)

    async def join_meanwhile() -> None:
        loop_client = valkey.connect_async(config)
        script = loop_client.register_script(source("flush"))
        moved: Node | None = None
        try:
            for number in range(1, 2000):
                holding.join(number, HOME)
                holding.connect()
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    await flush(script, holding, timing=TIMING)
                if number == 5:
                    moved = await asyncio.to_thread(move, cluster, stream)
                if moved and number % 5 == 0 and await asyncio.to_thread(cluster.master_of, stream) is moved:
                    break
            await flush(script, holding, timing=TIMING)
        finally:
            await loop_client.aclose()

    boot = holding.boot
    asyncio.run(join_meanwhile())
    assert holding.boot == boot
    seen = read_snapshot(client, [stream], timing=TIMING)
    assert (seen.online, seen.connections, seen.joined) == (len(holding),) * 3
    assert audit(client, [stream]).differences == {}
    eventually(cluster.whole)


def test_a_cluster_that_is_not_there_is_an_error_of_redis(config: Config) -> None:
    nobody = replace(config, redis_url=f"redis+cluster://127.0.0.1:{free_port()}")
    with pytest.raises(redis.ConnectionError):
        read_snapshot(valkey.connect(nobody), [Slot(1)], timing=TIMING)
    with pytest.raises(redis.ConnectionError):
        asyncio.run(come(nobody, STREAMS, 1))


@pytest.mark.parametrize(
    ("url", "nodes", "login"),
    [
        ("redis+cluster://a:1", [("a", 1)], {}),
        ("redis+cluster://a:1,b.example:2/", [("a", 1), ("b.example", 2)], {}),
        ("redis+cluster://me:p%40s@a:1,b:2", [("a", 1), ("b", 2)], {"username": "me", "password": "p@s"}),
        ("redis+cluster://:p@[::1]:1", [("::1", 1)], {"password": "p"}),
        ("rediss+cluster://a:1", [("a", 1)], {"ssl": True}),
    ],
)
def test_reads_a_clusters_address(url: str, nodes: list[tuple[str, int]], login: dict[str, Any]) -> None:
    assert valkey.parse_cluster(url) == (nodes, login)


class Wall:
    """The organisers' feed of one stream, reading all the time in a thread; what it told."""

    def __init__(self, config: Config, slots: tuple[Slot, ...]) -> None:
        self.told: list[dict[str, Any]] = []
        self.client = valkey.connect(config)
        self._feed = Feed(self.client, timing=Timing.of(config), emit=lambda told, _: self.told.append(told))
        self._feed.watch(
            "wall", View(slots, (2, "city"), (), ("54", "region"), (), Outlook(own=((1,),), mine=frozenset({2})))
        )
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._over.wait(0.05):
            self._feed.tick()

    def __enter__(self) -> "Wall":
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._reader.join()
        self.client.close()

    def shows(self, **figures: Any) -> bool:
        """Whether the last telling has all of `figures`."""
        return bool(self.told) and self.told[-1].items() >= figures.items()


@dataclass
class Installation:
    """Two gateway hosts and a wall."""

    config: Config
    cluster: Cluster
    slots: tuple[Slot, ...]
    hosts: list[Running]
    wall: Wall

    @property
    def stream(self) -> int:
        return self.slots[0].stream

    @property
    def hit(self) -> Slot:
        """The slot that member 9 is counted in."""
        return self.slots[9 % len(self.slots)]

    def failed_over(self, lost: Node) -> bool:
        """Whether another node has the slot that was hit."""
        others = [node for node in self.cluster.nodes if node is not lost]
        try:
            return Cluster(others).master_of(self.hit).known()["cluster_state"] == "ok"
        except StopIteration:
            return False


@pytest.fixture(scope="module")
def hosts(stage: Stage, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Two gateway hosts beside a worker. They outlive one lost master to meet the next."""
    config = stage.config(redis_url=cluster.url)
    one, two, three = (tmp_path_factory.mktemp(name) for name in ("one", "two", "worker"))
    with running(config, one) as first, running(config, two) as second, working(config, three):
        yield [first, second]


class Crowd:
    """Members 1 to 6 on the first host and 4 to 9 on the second: three of them have two devices."""

    def __init__(self, installation: Installation, stack: AsyncExitStack) -> None:
        self.installation = installation
        self.stack = stack
        self.devices: dict[tuple[int, int], Member] = {}

    async def come(self) -> None:
        for host, numbers in enumerate((range(1, 7), range(4, 10))):
            for number in numbers:
                assert (await self.join(host, number))["ok"]

    async def join(self, host: int, number: int) -> Any:
        port = self.installation.hosts[host].port
        device = self.devices[host, number] = await self.stack.enter_async_context(member(port, number))
        return await device.join(self.installation.stream)


def kill(node: Node) -> Callable[[], None]:
    """SIGKILL; how it comes back."""
    node.kill()
    return node.start


def freeze(node: Node) -> Callable[[], None]:
    """Neither answers nor refuses; how it comes back, believing that it is the master."""
    assert node.process
    pid = node.process.pid
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("lose", "shards"), [(kill, 4), (freeze, 4)])
def test_the_count_is_right_again_after_a_master_was_lost(
    stage: Stage,
    config: Config,
    cluster: Cluster,
    hosts: list[Running],
    lose: Callable[[Node], Callable[[], None]],
    shards: int,
) -> None:
    slots = slots_of(stage.stream(shards=shards), shards)
    with Wall(config, slots) as wall:
        installation = Installation(config, cluster, slots, hosts, wall)
        uvloop.run(lose_a_master(installation, lose))
        check_afterwards(stage, installation)


async def lose_a_master(at: Installation, lose: Callable[[Node], Callable[[], None]]) -> None:
    """Everybody comes, the master is lost, some come and go without it, it returns, the others go."""
    wall = at.wall
    async with AsyncExitStack() as stack:
        crowd = Crowd(at, stack)
        await crowd.come()
        await until(lambda: wall.shows(online=9, connections=12, joined=9, peak=9, basis="exact"), within=10)
        node = at.cluster.master_of(at.hit)
        bring_back = lose(node)
        await until(lambda: wall.shows(basis="degraded"))
        degraded = len(wall.told)
        assert await crowd.devices[1, 9].ask("leave", {"stream": at.stream}) == {"ok": True}
        crowd.devices[0, 1].vanish()
        answer = await crowd.join(0, 13)
        assert answer["ok"]
        assert answer["basis"] == "degraded"
        await until(lambda: at.failed_over(node), within=FAILOVER_SECONDS)
        right = {"online": 8, "connections": 11, "joined": 10, "basis": "exact"}
        # The lease, as much patience after the pause, two ticks; the rest is for a busy machine.
        await until(lambda: wall.shows(**right), within=2 * at.config.lease_seconds + 5)
        bring_back()
        await until(at.cluster.whole, within=20)
        await until(lambda: wall.shows(**right))
        assert {told["online"] for told in wall.told[degraded:] if told["basis"] == "exact"} == {8}
        assert (wall.told[-1]["organisation"]["online"], wall.told[-1]["place"]["online"]) == (8, 8)
        assert (await crowd.devices[0, 2].join(at.stream))["count"] == 8


def check_afterwards(stage: Stage, at: Installation) -> None:
    """Everybody has gone: nothing is left over, nothing was doubled, nothing is missing."""
    eventually(lambda: at.wall.shows(online=0, connections=0, joined=10, basis="exact"))
    assert audit(at.wall.client, at.slots).differences == {}
    assert at.wall.told[-1]["peak"] == 9
    tags = [f"{{{slot.tag}}}" for slot in at.slots]
    assert len({number for number, name in at.cluster.stored() if any(tag in name for tag in tags)}) == len(tags)
    eventually(lambda: all(row[3] == "owner" for row in stage.stays(at.stream)))
    assert sorted(row[0] for row in stage.stays(at.stream)) == sorted([*range(1, 7), *range(4, 10), 13])
