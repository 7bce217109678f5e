"""The worker's tasks: whatever Valkey lost comes back, the dead leave, and nobody alive is taken out in haste."""

from datetime import timedelta
from typing import cast

import pytest
import redis
from flask import Flask
from sqlalchemy import false, literal, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from service.live import figures, reaping, recording
from service.live.audit import audit
from service.live.models import Stay
from service.live.reaping import Keeper
from service.live.scripts import Timing, key
from service.metrics import Board
from tests.factories import make_stream
from tests.live.history import make_stay
from tests.live.scene import HOME, NOW, TIMING, Scene


@pytest.fixture
def scene(app: Flask, db: Session, valkey: redis.Redis) -> Scene:
    return Scene(valkey, make_stream(now=NOW))


def test_a_stream_is_exact_before_the_first_join(scene: Scene) -> None:
    assert scene.seen().reason == "rebuilding"
    scene.tick(seconds=7)
    assert scene.seen().basis == "exact"
    reply = scene.flush(scene.holding(1, 2))
    assert (reply.basis, reply.online, reply.joined) == ("exact", 2, 2)


def test_the_first_join_of_an_unknown_stream_is_not_called_exact(scene: Scene) -> None:
    reply = scene.flush(scene.holding(1))
    assert (reply.online, reply.basis, reply.reason) == (1, "degraded", "rebuilding")


def test_a_dead_gateway_is_doubted_then_reaped(scene: Scene) -> None:
    alive, dead = scene.holding(1, 2), scene.holding(*range(2, 1203))
    scene.flush(dead)
    scene.tick(alive, dead, seconds=7)
    scene.tick(alive, seconds=2)
    seen = scene.seen()
    assert (seen.online, seen.basis, seen.reason, seen.in_doubt) == (1202, "degraded", "lease", 1201)
    scene.tick(alive, seconds=4)
    seen = scene.seen()
    assert (seen.online, seen.connections, seen.basis, seen.in_doubt) == (2, 2, "exact", 0)
    assert seen.organisations == {1: 2, 3: 2}
    assert seen.places == {"5401": 2}
    assert (seen.joined, seen.peak) == (1202, 1202)
    assert audit(scene.valkey, [scene.slot]).differences == {}


def test_the_reaped_boot_id_is_never_revived(scene: Scene) -> None:
    late = scene.holding(1)
    first = late.batch()
    assert first is not None
    late.lost()
    scene.flush(late)
    scene.tick(late, seconds=7)
    scene.tick(seconds=7)
    for batch in (first, late.batch(renew=True)):
        assert scene.deliver(batch).status == "restart"
    late.lost()
    assert scene.seen().online == 0
    assert scene.flush(late).online == 1


def test_a_flush_for_another_epoch_is_refused(scene: Scene) -> None:
    worker = scene.holding(1)
    first = worker.batch()
    assert first is not None
    worker.acknowledge(scene.deliver(first))
    worker.join(2, HOME)
    second = worker.batch()
    scene.valkey.flushdb()
    # The first one came again, late: its boot id is known in the new epoch too.
    assert scene.deliver(first).status == "applied"
    assert scene.deliver(second).status == "restart"


def test_a_boot_id_that_a_replica_never_heard_of_begins_anew(scene: Scene) -> None:
    scene.flush(scene.holding(5))
    worker = scene.holding(1)
    old = {name: scene.valkey.dump(name) for name in cast("list[bytes]", scene.valkey.keys())}
    scene.flush(worker)
    scene.valkey.flushdb()
    for name, value in old.items():
        scene.valkey.restore(name, 0, cast(bytes, value))
    assert scene.seen().online == 1
    worker.join(2, HOME)
    worker.acknowledge(scene.deliver(worker.batch()))
    scene.flush(worker)
    assert scene.seen().online == 3


def test_a_flush_that_a_replica_missed_is_a_gap(scene: Scene) -> None:
    worker = scene.holding(1)
    scene.flush(worker)
    old = {name: scene.valkey.dump(name) for name in cast("list[bytes]", scene.valkey.keys())}
    worker.join(2, HOME)
    scene.flush(worker)
    scene.valkey.flushdb()
    for name, value in old.items():
        scene.valkey.restore(name, 0, cast(bytes, value))
    worker.leave(1)
    assert scene.deliver(worker.batch()).status == "restart"
    # What the old boot id holds is in doubt until it is reaped: member 1 has left.
    assert (scene.seen().online, scene.seen().in_doubt) == (1, 1)


def test_a_flush_that_comes_after_its_successor_is_ignored(scene: Scene) -> None:
    worker = scene.holding(1)
    late = worker.batch()
    worker.acknowledge(scene.deliver(late))
    worker.leave(1)
    worker.join(2, HOME)
    scene.flush(worker)
    assert scene.deliver(late).status == "ignored"
    assert scene.seen().online == 1
    assert scene.flush(worker).status == "applied"


def test_who_leaves_and_who_comes_in_one_flush_never_raise_the_peak(scene: Scene) -> None:
    worker = scene.holding(1)
    scene.flush(worker)
    worker.leave(1)
    worker.join(2, HOME)
    scene.flush(worker)
    assert (scene.seen().online, scene.seen().peak) == (1, 1)


def test_who_left_during_an_outage_never_raises_the_peak(scene: Scene) -> None:
    worker, other = scene.holding(1, 2), scene.holding(2, 3)
    scene.tick(worker, other, seconds=7)
    scene.now += TIMING.lease + 1
    worker.leave(1)
    worker.join(4, HOME)
    scene.flush(worker)
    # Member 1 is counted until it is reaped, but never was there together with member 4.
    assert (scene.seen().online, scene.seen().in_doubt, scene.seen().peak) == (4, 4, 3)
    scene.tick(worker, other, seconds=12)
    assert (scene.seen().online, scene.seen().basis, scene.seen().peak) == (3, "exact", 3)


def test_whom_somebody_else_holds_raises_the_peak_when_the_doubt_is_over(scene: Scene) -> None:
    alive, dead = scene.holding(1), scene.holding(1, 2)
    scene.tick(alive, dead, seconds=7)
    scene.tick(alive, seconds=4)
    alive.join(2, HOME)
    alive.join(3, HOME)
    scene.flush(alive)
    assert (scene.seen().online, scene.seen().in_doubt, scene.seen().peak) == (3, 2, 2)
    scene.now += TIMING.lease
    figures.reap(scene.valkey, scene.slot, "boot-2", timing=Timing(TIMING.lease, 60_000), now=scene.now)
    assert (scene.seen().online, scene.seen().peak) == (3, 3)


def test_a_peak_that_a_replica_missed_is_taken_over_from_the_record(scene: Scene, app: Flask) -> None:
    scene.tick(scene.holding(1, 2), seconds=8)
    recording.record_peaks([(scene.stream, 5, NOW)])
    scene.keeper.look_up(NOW)
    scene.tick()
    assert (scene.seen().peak, scene.seen().peak_at) == (5, NOW)


def test_who_is_doubted_for_two_reasons_is_counted_once(scene: Scene) -> None:
    worker = scene.holding(1, 2)
    scene.flush(worker)
    scene.now += TIMING.lease + 1
    assert scene.deliver(worker.batch(renew=True)).in_doubt == 2


def test_an_expired_lease_is_not_renewed(scene: Scene) -> None:
    worker = scene.holding(1)
    scene.flush(worker)
    scene.now += TIMING.lease
    worker.acknowledge(scene.deliver(worker.batch(renew=True)))
    assert worker.sequence == 3
    scene.now += TIMING.lease + 1
    assert scene.deliver(worker.batch(renew=True)).status == "restart"


def test_a_repeat_gives_the_first_answer_and_no_new_lease(scene: Scene) -> None:
    worker = scene.holding(1)
    batch = worker.batch()
    first = scene.deliver(batch)
    scene.flush(scene.holding(2, 3))
    scene.now += 4000
    repeat = scene.deliver(batch)
    assert (repeat.status, repeat.online, repeat.as_of) == ("repeated", first.online, first.as_of)
    scene.now += 1001
    assert scene.deliver(batch).status == "restart"


def test_a_flush_that_hung_says_nothing_of_what_happened_since(scene: Scene) -> None:
    worker = scene.holding(1, 2)
    scene.tick(worker, seconds=7)
    worker.leave(2)
    hung = worker.batch(made=scene.now)
    worker.lost()
    scene.now += TIMING.stale + 1
    scene.deliver(hung)
    seen = scene.seen()
    assert (seen.online, seen.basis, seen.reason, seen.in_doubt) == (1, "degraded", "lease", 1)
    scene.flush(worker)  # the lost batch again: a repeat proves nothing newer
    scene.flush(worker)
    assert scene.seen().basis == "exact"


def test_a_gateway_that_slept_past_its_lease_pushes_everybody_again(scene: Scene) -> None:
    sleeper, other = scene.holding(*range(1, 1001)), scene.holding(5000)
    scene.tick(sleeper, other, seconds=7)
    scene.tick(other, seconds=8)
    assert scene.seen().online == 1
    sleeper.acknowledge(scene.deliver(sleeper.batch(renew=True)))
    sleeper.acknowledge(scene.deliver(sleeper.batch(limit=500)))
    # Half of its members are back: a figure that cannot be called exact.
    assert (scene.seen().online, scene.seen().reason, scene.seen().in_doubt) == (501, "behind", 500)
    scene.flush(sleeper)
    assert (scene.seen().online, scene.seen().basis) == (1001, "exact")


def test_after_missed_ticks_every_lease_gets_one_more_term(scene: Scene) -> None:
    holding = scene.holding(1)
    scene.tick(holding, seconds=7)
    scene.now += 60_000
    scene.tick(seconds=5)
    assert scene.seen().online == 1
    scene.tick(seconds=2)
    assert scene.seen().online == 0


def test_two_workers_tick_as_one(scene: Scene) -> None:
    holding = scene.holding(1)
    scene.tick(holding, seconds=7)
    newcomer = Keeper(TIMING, streams=scene.keeper.streams)
    scene.now += 5500
    for _ in range(3):
        scene.now += 500
        scene.keeper.reap(scene.valkey, now=scene.now)
        newcomer.reap(scene.valkey, now=scene.now)
    # The pause was noticed by whoever came first, and granted to both.
    assert scene.seen().online == 1


def test_an_emptied_valkey_gets_its_history_back(scene: Scene, app: Flask) -> None:
    watching, gone = scene.holding(1, 2), [3, 4, 5]
    scene.tick(watching, seconds=7)
    for member in (1, 2, *gone, 5):
        make_stay(scene.stream, member)
    recording.record_peaks([(scene.stream, 4, NOW)])
    scene.keeper.look_up(NOW)
    app.extensions["check_in_ledger"] = lambda stream: select(literal(9))
    try:
        scene.valkey.flushdb()
        assert scene.seen().reason == "rebuilding"
        scene.tick(watching)
        seen = scene.seen()
        assert (seen.online, seen.basis, seen.reason) == (2, "degraded", "rebuilding")
        scene.tick(watching, seconds=6)
    finally:
        del app.extensions["check_in_ledger"]
    seen = scene.seen()
    assert (seen.online, seen.joined, seen.checked_in, seen.basis) == (2, 5, 1, "exact")
    assert (seen.peak, seen.peak_at) == (4, NOW)


def test_stays_written_late_are_refilled_before_the_figures_are_exact(scene: Scene) -> None:
    scene.tick(seconds=2)
    make_stay(scene.stream, 1)
    scene.tick(seconds=5)
    seen = scene.seen()
    assert (seen.joined, seen.basis) == (1, "exact")


def test_refilling_twice_is_harmless(scene: Scene) -> None:
    make_stay(scene.stream, 1)
    scene.tick(seconds=7)
    again = Keeper(TIMING, streams=scene.keeper.streams, ticks=dict(scene.keeper.ticks))
    again.refill(scene.valkey, NOW, now=scene.now)
    tick = scene.keeper.ticks[scene.slot]
    assert figures.note(scene.valkey, {scene.slot: tick.epoch}, [1], field="joined", now=scene.now) == 0
    assert scene.seen().joined == 1


def test_what_was_noted_for_a_lost_epoch_does_not_count_for_the_next(scene: Scene) -> None:
    scene.tick()
    epoch = scene.keeper.ticks[scene.slot].epoch
    scene.valkey.flushdb()
    scene.keeper.reap(scene.valkey, now=scene.now)
    with pytest.raises(figures.EpochGoneError):
        figures.note(scene.valkey, {scene.slot: epoch}, [1], field="joined", now=scene.now)
    assert not figures.settle(scene.valkey, scene.slot, epoch=epoch, lease=0, now=scene.now + 9000)
    assert scene.seen().joined == 0


def test_a_check_in_that_valkey_missed_is_counted(scene: Scene, app: Flask) -> None:
    scene.tick(seconds=7)
    both = select(Stay.member_id)
    for member in (11, 12):
        make_stay(scene.stream, member)
    reaping.register_ledger(app, lambda stream: both.where(Stay.stream_id == stream))
    try:
        figures.note(scene.valkey, {scene.slot: ""}, [11], field="checked_in", now=scene.now)
        scene.tick()
        assert scene.seen().checked_in == 1
        scene.keeper.reconcile(scene.valkey, NOW, now=scene.now)
        assert scene.seen().checked_in == 2
        scene.keeper.reconcile(scene.valkey, NOW, now=scene.now)
        assert scene.seen().checked_in == 2
    finally:
        del app.extensions["check_in_ledger"]


def test_a_check_in_that_was_taken_back_while_valkey_was_away_is_not_counted(scene: Scene, app: Flask) -> None:
    scene.tick(seconds=7)
    make_stay(scene.stream, 11)
    stays = select(Stay.member_id)
    figures.note(scene.valkey, {scene.slot: ""}, [11, 12], field="checked_in", now=scene.now)
    nobody, gone = (lambda _: stays.where(false())), (lambda stream: stays.where(Stay.stream_id == stream))
    reaping.register_ledger(app, nobody, gone)
    try:
        for _ in range(2):
            scene.tick()
            scene.keeper.reconcile(scene.valkey, NOW, now=scene.now)
            assert scene.seen().checked_in == 1
    finally:
        del app.extensions["check_in_ledger"], app.extensions["taken_back_ledger"]


def test_the_last_leave_ends_the_lease(scene: Scene) -> None:
    holding = scene.holding(1)
    scene.tick(holding, seconds=7)
    holding.leave(1)
    holding.disconnect()
    scene.flush(holding)
    assert holding.empty
    scene.now += 3000
    assert (scene.seen().online, scene.seen().basis) == (0, "exact")
    names = cast("list[bytes]", scene.valkey.keys())
    assert not [name for name in names if b":held:" in name or b":boot:" in name]


def test_a_boot_id_that_ended_is_not_revived_by_its_first_flush(scene: Scene) -> None:
    worker = scene.holding(1)
    first = worker.batch()
    worker.acknowledge(scene.deliver(first))
    worker.leave(1)
    worker.disconnect()
    scene.flush(worker)
    assert worker.empty
    assert scene.deliver(first).status == "restart"
    assert scene.seen().online == 0


def test_a_half_reaped_boot_id_is_dead_even_if_the_clock_steps_back(scene: Scene) -> None:
    worker = scene.holding(1, 2, 3)
    scene.tick(worker, seconds=7)
    scene.tick(seconds=5)
    scene.now += 500
    boot, then = worker.boot, scene.now
    assert figures.reap(scene.valkey, scene.slot, boot, timing=TIMING, limit=1, now=then) == 2
    scene.now -= 5000
    assert scene.deliver(worker.batch(renew=True)).status == "restart"


def test_members_pass_page_borders(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "PAGE", 3)
    for member in range(1, 11):
        make_stay(scene.stream, member)
    ledger = reaping.ledgers(scene.stream)["joined"]
    assert list(reaping.members(ledger)) == list(range(1, 11))
    assert reaping.counted(ledger) == 10


def test_streams_are_known_early_and_kept_late(scene: Scene) -> None:
    soon = make_stream(now=NOW, opens=timedelta(minutes=9))
    tomorrow = make_stream(now=NOW, opens=timedelta(days=1), closes=timedelta(days=1, hours=1))
    over = make_stream(now=NOW, opens=-timedelta(hours=30), closes=-timedelta(hours=23))
    old = make_stream(now=NOW, opens=-timedelta(hours=30), closes=-timedelta(hours=25))
    scene.keeper.look_up(NOW)
    known = {stream.id for stream in scene.keeper.streams}
    assert {scene.stream, soon.id, over.id} <= known
    assert not {tomorrow.id, old.id} & known


def test_keys_end_by_themselves(scene: Scene) -> None:
    scene.tick(scene.holding(1))
    assert scene.valkey.pttl(key(scene.slot, "joined")) > 6 * 86_400_000


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (("HINCRBY", "organisations", 3, 1), {"organisations 3": 1}),
        (("HDEL", "places", "5401"), {"places 5401": -2}),
        (("HINCRBY", "channels", "ios", 4), {"channels ios": 4}),
        (("HINCRBY", "state", "connections", -1), {"connections": -1}),
        (("SETBIT", "joined", 9, 1), {"joined": -1}),
        (("HSET", "members", "2", "2;1.2.3;54.5401;h5;hls"), {"holders wrong": -1}),
        (("HINCRBY", "sizes", "boot-1", 1), {"sizes boot-1": 1}),
    ],
)
def test_the_audit_finds_a_spoilt_counter(scene: Scene, spoil: tuple[str, ...], difference: dict[str, int]) -> None:
    scene.tick(scene.holding(1, 2), seconds=1)
    command, name, *arguments = spoil
    with capture_logs() as logs:
        scene.keeper.audit(scene.valkey)
        scene.valkey.eval("redis.call(unpack(ARGV))", 0, command, key(scene.slot, name), *map(str, arguments))
        found = audit(scene.valkey, [scene.slot])
        scene.keeper.audit(scene.valkey)
    assert (found.at_rest, found.differences) == (True, difference)
    assert [line["event"] for line in logs] == ["audit difference"]


def test_every_task_runs(scene: Scene, app: Flask) -> None:
    board = Board("worker")
    tasks = reaping.tasks(app.config["CHUNSHUI"], board)
    for task in (*tasks, *tasks):
        task.run(app)
    assert len({task.name for task in tasks}) == len(tasks)
    assert b"chunshui_audit_difference 0.0" in board.page()
