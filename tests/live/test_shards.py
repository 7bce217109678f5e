"""A stream whose members are spread over several slots: one count, whoever is where."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import uvloop
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.activity.models import Stream
from service.live import figures
from service.live.audit import audit
from service.live.figures import by_slot, read_snapshot
from service.live.presence import LIMIT, Attribution, Batch, Holding, Reply
from service.live.reaping import Keeper
from service.live.scripts import Slot, Timing, call, key, slots_of
from tests.factories import make_stream
from tests.live.history import make_stay
from tests.live.stage import Stage, member, serving, until

TIMING = Timing(lease=5000, stale=1500)
NOW = datetime(2026, 9, 20, 1, tzinfo=UTC)
HOME = Attribution("1.2.3", "54.5401", "h5", "hls")


class Scene:
    """One stream in three slots, a worker process, and a clock that only the test moves."""

    def __init__(self, client: redis.Redis, stream: Stream) -> None:
        self.valkey = client
        self.slots = slots_of(stream.id, stream.shards)
        self.keeper = Keeper(TIMING)
        self.now = 1_000_000
        self.keeper.look_up(NOW)

    def hold(self, *members: int) -> dict[Slot, Holding]:
        """One gateway worker's holdings, pushed."""
        holdings = {slot: Holding(slot) for slot in self.slots}
        for number in members:
            holdings[self.slots[number % len(self.slots)]].join(number, HOME)
        self.flush(holdings)
        return holdings

    def flush(self, holdings: dict[Slot, Holding]) -> None:
        for holding in holdings.values():
            renew = True
            while batch := holding.batch(renew=renew, keep=True):
                renew = False
                self.execute(holding, batch)

    def deliver(self, holding: Holding, *, late: bool = False, limit: int = LIMIT) -> Reply:
        """One chunk."""
        batch = holding.batch(late=late, limit=limit)
        assert batch is not None
        return self.execute(holding, batch)

    def execute(self, holding: Holding, batch: Batch) -> Reply:
        arguments = batch.arguments(TIMING)[1:]
        answer = call(self.valkey, "flush", holding.slot, *arguments, boot=batch.boot, now=self.now)
        reply = Reply.parse(answer)
        holding.acknowledge(reply)
        return reply

    def tick(self, *workers: dict[Slot, Holding], seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1000
            for holdings in workers:
                self.flush(holdings)
            self.keeper.reap(self.valkey, now=self.now)
            self.keeper.refill(self.valkey, NOW, now=self.now)

    def seen(self) -> figures.Snapshot:
        return read_snapshot(self.valkey, self.slots, timing=TIMING, organisations=[3], places=["5401"], now=self.now)


def make_scene(db: Session, client: redis.Redis, *, shards: int = 3, opens: timedelta = -timedelta(hours=1)) -> Scene:
    stream = make_stream(now=NOW, opens=opens)
    stream.shards = shards
    db.commit()
    return Scene(client, stream)


@pytest.fixture
def scene(app: Flask, db: Session, valkey: redis.Redis) -> Scene:
    return make_scene(db, valkey)


@pytest.mark.parametrize("shards", [1, 3])
def test_changes_that_are_late_are_in_doubt(app: Flask, db: Session, valkey: redis.Redis, shards: int) -> None:
    scene = make_scene(db, valkey, shards=shards)
    worker = scene.hold(*range(1, 10))
    scene.tick(worker, seconds=7)
    slot = scene.slots[0]
    mine = [number for number in range(1, 10) if number % shards == 0]
    for number in mine:
        worker[slot].leave(number)
    scene.deliver(worker[slot], late=True, limit=1)
    seen = scene.seen()
    assert (seen.online, seen.basis, seen.reason, seen.in_doubt) == (8, "degraded", "behind", len(mine) - 1)
    scene.flush(worker)
    assert (scene.seen().online, scene.seen().basis) == (9 - len(mine), "exact")


def test_a_long_push_renews_the_lease_with_every_chunk(scene: Scene) -> None:
    """Four chunks within two leases, none of them refused."""
    holding = Holding(scene.slots[0])
    for number in range(0, 12, 3):
        holding.join(number, HOME)
    for _ in range(4):
        scene.now += 2500
        assert scene.deliver(holding, limit=1).status == "applied"
        scene.keeper.reap(scene.valkey, now=scene.now)
    assert scene.seen().online == 4


def test_the_last_device_takes_out_what_the_first_one_put_in(scene: Scene) -> None:
    """Two workers hold one member, whose devices disagree about everything."""
    phone, tablet = Holding(scene.slots[0]), Holding(scene.slots[0])
    phone.join(3, HOME)
    scene.deliver(phone)
    tablet.join(3, Attribution("9.8", "50.500101", "ios", "tv"))
    scene.deliver(tablet)
    assert (scene.seen().online, scene.seen().organisations, scene.seen().channels) == (1, {3: 1}, {"h5": 1})
    phone.leave(3)
    scene.deliver(phone)
    assert (scene.seen().online, scene.seen().organisations, scene.seen().channels) == (1, {3: 1}, {"h5": 1})
    tablet.leave(3)
    scene.deliver(tablet)
    assert (scene.seen().online, scene.seen().organisations, scene.seen().channels) == (0, {3: 0}, {})


def test_the_sentences_name_tests_that_exist() -> None:
    here = Path(__file__).parent
    named = set(re.findall(r"`(test_\w+)`", (here / "sentences.md").read_text()))
    written = {name for file in here.glob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert named - written == set()


@given(st.lists(st.integers(0, 5000), max_size=60), st.integers(1, 5), st.data())
def test_everybody_is_told_to_their_own_slot_only(members: list[int], shards: int, data: st.DataObject) -> None:
    slots = slots_of(7, shards)
    wanted = data.draw(st.lists(st.sampled_from(slots), unique=True))
    told = [(slot, number) for slot, chunk in by_slot(wanted, members) for number in chunk]
    expected = [(slots[number % shards], number) for number in members if slots[number % shards] in wanted]
    assert Counter(told) == Counter(expected)


def test_no_call_is_longer_than_the_limit() -> None:
    chunks = [chunk for _, chunk in by_slot(slots_of(7, 2), range(3 * LIMIT))]
    assert max(map(len, chunks)) == LIMIT
    assert sum(map(len, chunks)) == 3 * LIMIT


def test_the_number_of_slots_is_fixed_when_a_stream_is_planned(app: Flask, db: Session) -> None:
    stream = make_stream(now=NOW)
    assert stream.shards == app.config["CHUNSHUI"].live_shards == 1
    assert [slot.tag for slot in slots_of(7, 1)] == ["s7"]
    assert [slot.tag for slot in slots_of(7, 2)] == ["s7:0", "s7:1"]


def test_sums_are_the_streams_figures(scene: Scene) -> None:
    workers = scene.hold(*range(1, 8)), scene.hold(*range(5, 12))
    figures.note_check_ins(scene.valkey, scene.slots, [1, 2, 2, 30])
    scene.tick(*workers, seconds=7)
    seen = scene.seen()
    assert (seen.online, seen.joined, seen.checked_in, seen.basis) == (11, 11, 3, "exact")
    assert (seen.organisations, seen.places, seen.channels) == ({3: 11}, {"5401": 11}, {"h5": 11})
    assert [scene.valkey.hlen(key(slot, "members")) for slot in scene.slots] == [3, 4, 4]
    assert audit(scene.valkey, scene.slots).differences == {}


def test_figures_are_as_old_as_the_oldest_slots(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.tick()

    def later(client: redis.Redis, name: str, slot: Slot, *arguments: str | int, now: int = 0) -> object:
        return call(client, name, slot, *arguments, now=now + 100 * slot.shard)

    monkeypatch.setattr(figures, "call", later)
    assert scene.seen().as_of.timestamp() * 1000 == scene.now


def test_one_doubtful_slot_makes_the_sum_doubtful(scene: Scene) -> None:
    workers = scene.hold(1, 2, 3), scene.hold(4)
    scene.tick(*workers, seconds=7)
    one = {scene.slots[1]: workers[1][scene.slots[1]]}
    scene.tick(workers[0], {slot: held for slot, held in workers[1].items() if slot not in one}, seconds=2)
    seen = scene.seen()
    assert (seen.online, seen.basis, seen.reason, seen.in_doubt) == (4, "degraded", "lease", 1)
    scene.tick(workers[0], seconds=6)
    assert (scene.seen().online, scene.seen().basis) == (3, "exact")


def test_the_peak_of_several_slots_is_sampled_and_says_so(scene: Scene, app: Flask) -> None:
    worker = scene.hold(1, 2, 3, 4)
    scene.tick(worker, seconds=2)
    worker[scene.slots[0]].leave(3)
    scene.tick(worker, seconds=2)
    seen = scene.seen()
    assert (seen.online, seen.peak, seen.peak_basis) == (3, 4, "sampled")
    assert list(scene.keeper.peaks()) == [(seen.stream, 4, seen.peak_at)]


def test_a_slot_that_is_emptied_gets_its_history_back_and_the_peak(scene: Scene) -> None:
    for number in range(1, 7):
        make_stay(scene.slots[0].stream, number)
    worker = scene.hold(1, 2)
    scene.tick(worker, seconds=7)
    epoch = scene.seen().epoch
    scene.valkey.delete(*scene.valkey.keys(key(scene.slots[1], "*")))
    scene.tick(worker)
    assert (scene.seen().basis, scene.seen().reason) == ("degraded", "rebuilding")
    scene.tick(worker, seconds=6)
    seen = scene.seen()
    assert (seen.online, seen.joined, seen.peak, seen.basis) == (2, 6, 2, "exact")
    assert sum(old == new for old, new in zip(epoch.split("+"), seen.epoch.split("+"), strict=True)) == 2


@pytest.mark.parametrize("shards", [1, 3])
def test_a_stream_that_nobody_can_have_joined_is_exact_at_once(
    app: Flask, db: Session, valkey: redis.Redis, shards: int
) -> None:
    scene = make_scene(db, valkey, shards=shards, opens=timedelta(minutes=5))
    assert scene.seen().reason == "rebuilding"
    scene.tick()
    assert scene.seen().basis == "exact"
    valkey.flushdb()
    scene.tick()
    assert scene.seen().basis == "exact"


@pytest.mark.parametrize(("opens", "joined"), [(timedelta(seconds=30), False), (timedelta(minutes=5), True)])
def test_a_stream_that_somebody_may_have_joined_waits_for_a_lease(
    app: Flask, db: Session, valkey: redis.Redis, opens: timedelta, joined: bool
) -> None:
    """It is about to open, or was open and then put off."""
    scene = make_scene(db, valkey, opens=opens)
    if joined:
        make_stay(scene.slots[0].stream, 1)
    scene.tick(seconds=4)
    assert scene.seen().reason == "rebuilding"
    scene.tick(seconds=3)
    assert scene.seen().basis == "exact"


def test_a_slot_that_cannot_be_reached_keeps_no_other_one_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = scene.hold(1, 2, 3)
    scene.tick(worker, seconds=7)
    tick: Callable[..., figures.Tick] = figures.tick

    def away(client: redis.Redis, slot: Slot, **options: object) -> figures.Tick:
        if slot.shard == 0:
            raise redis.ConnectionError
        return tick(client, slot, **options)

    monkeypatch.setattr(figures, "tick", away)
    for _ in range(7):
        with pytest.raises(redis.ConnectionError):
            scene.tick()
    assert scene.seen().online == 1


def test_a_join_is_answered_with_the_whole_count(stage: Stage) -> None:
    """Also by a worker that holds nobody in most of the slots, and for as long as it holds anybody."""

    async def story() -> None:
        stream, config = stage.stream(shards=4), stage.config(count_seconds=0.3)
        async with serving(config) as (_, one), serving(config) as (_, other):
            async with member(one, 1) as ana, member(one, 2) as ben, member(other, 3) as cleo:
                assert [(await who.join(stream))["count"] for who in (ana, ben, cleo)] == [1, 2, 3]
                assert leases(stage, stream) == 2 * 4
                assert await ben.ask("leave", {"stream": stream}) == {"ok": True}
                while (await cleo.next_event())[1]["count"] != 2:
                    pass
            await until(lambda: leases(stage, stream) == 0)

    uvloop.run(story())


def leases(stage: Stage, stream: int) -> int:
    with redis.Redis.from_url(stage.valkey.url) as client:
        return sum(int(client.zcard(key(slot, "leases"))) for slot in slots_of(stream, 4))
