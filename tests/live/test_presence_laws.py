"""The laws of the count, against a real Valkey and an oracle that only knows who is really held.

Whatever happens (second devices, repeats, crashes, late, lost and doubled flushes, expired leases, an emptied Valkey, a
replica that missed the last flushes), the counters agree with each other after every step, figures that call themselves
exact are right, and at rest everything equals the oracle.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.live import figures
from service.live.audit import audit
from service.live.presence import Attribution, Batch, Holding, Reply
from service.live.reaping import NO_PATIENCE, Keeper
from service.live.recording import Live
from service.live.scripts import NODES, Slot, Timing, call, key, slots_of

STREAM = 7
RENEW, LEASE, MISSED = 1000, 5000, 2500
TIMING = Timing(lease=LEASE, stale=1500)
WORKERS = st.integers(0, 2)
SHARDS = st.integers(0, 2)  # modulo the shards that there are
OPENS = datetime.fromtimestamp(0, UTC)
MEMBERS = st.integers(1, 12)
CHANNELS = st.sampled_from(["h5", "android", "mini_program"])


def home(member: int, channel: str) -> Attribution:
    """Even members always come with one attribution; odd ones' devices disagree about the place as well."""
    branch = f"1.{10 + member % 2}.{100 + member % 4}"
    if member % 2 == 0:
        return Attribution(branch, f"54.{5400 + member % 3}", "h5", "hls")
    return Attribution(branch, "54.5401.540102" if channel == "h5" else "50.500101", channel, "hls")


class Worker:
    """One gateway worker, and what an oracle knows of it."""

    def __init__(self, holdings: list[Holding]) -> None:
        self.holdings = holdings
        self.held: Counter[int] = Counter()
        # When each slot last answered in time; whom Valkey may know of it.
        self.heard = [0] * len(holdings)
        self.maybe: set[int] = set()

    def holding(self, member: int) -> Holding:
        return self.holdings[member % len(self.holdings)]

    def mine(self, members: set[int] | Counter[int], shard: int) -> set[int]:
        """Those of `members` that are counted in a shard."""
        return {member for member in members if member % len(self.holdings) == shard}

    @property
    def keep(self) -> bool:
        """Whether it wants to hear of every slot."""
        return any(len(holding) for holding in self.holdings)


def pending(holding: Holding) -> bool:
    return bool(holding._changed() or holding._sent)


class World(RuleBasedStateMachine):
    """Three workers, a clock, a network that loses and doubles, and slots that forget."""

    valkey: redis.Redis
    shards: int

    def __init__(self) -> None:
        super().__init__()
        self.valkey.flushdb()
        self.now = 1_000_000
        self.boots = 0
        self.slots = slots_of(STREAM, self.shards)
        self.workers = [self.new_worker() for _ in range(3)]
        # Whom nobody takes back any more.
        self.ghosts: set[int] = set()
        self.sent: list[Batch] = []
        self.ledger: set[int] = set()
        self.checked_in: set[int] = set()
        self.ledger_needed = False
        self.rolled_back = False
        # Workers and shards that were answered since the slot last forgot something.
        self.told: set[tuple[Worker, int]] = set()
        self.proved: dict[str, int] = {}  # when the youngest flush was made that Valkey executed, by boot id
        self.highest = self.recorded = 0
        self.dump: dict[Slot, dict[bytes, bytes]] = {}

    def new_worker(self) -> Worker:
        return Worker([Holding(slot, boots=self.new_boot) for slot in self.slots])

    def new_boot(self) -> str:
        self.boots += 1
        return f"boot-{self.boots}"

    def held(self) -> set[int]:
        return set().union(*(worker.held for worker in self.workers))

    def maybe(self) -> set[int]:
        return set().union(*(worker.maybe for worker in self.workers))

    def everywhere(self) -> Iterator[tuple[Worker, int]]:
        return ((worker, shard) for worker in self.workers for shard in range(self.shards))

    def execute(self, batch: Batch) -> Reply:
        name, *arguments = ("flush", *batch.arguments(TIMING)[1:])
        reply = Reply.parse(call(self.valkey, name, batch.slot, *arguments, boot=batch.boot, now=self.now))
        if reply.status == "applied":
            self.proved[batch.boot] = max(batch.made, self.proved.get(batch.boot, 0))
        return reply

    def snapshot(self) -> figures.Snapshot:
        places = ("54", "5400", "5401", "5402", "540102", "50", "500101")
        organisations = (1, 10, 11, 100, 101, 102, 103)
        return figures.read_snapshot(
            self.valkey, self.slots, timing=TIMING, organisations=organisations, places=places, now=self.now
        )

    def take(self, worker: Worker, shard: int, *, renew: bool, late: bool = False) -> Batch | None:
        batch = worker.holdings[shard].batch(limit=3, renew=renew, keep=worker.keep, late=late, made=self.now)
        if batch is not None:
            self.sent.append(batch)
        return batch

    def acknowledge(self, worker: Worker, shard: int, reply: Reply) -> None:
        holding = worker.holdings[shard]
        boot = holding.boot
        holding.acknowledge(reply)
        if reply.status == "restart":
            self.ghosts |= worker.mine(worker.maybe, shard)
        elif reply.status == "applied":
            worker.heard[shard] = self.proved[boot]
            self.told.add((worker, shard))
        if not holding._changed():
            worker.maybe -= worker.mine(worker.maybe, shard)
            worker.maybe |= worker.mine(worker.held, shard)

    @initialize(known=st.booleans(), forgotten=st.booleans())
    def open(self, known: bool, forgotten: bool) -> None:
        """The worker process may have known the stream before anybody came: then nothing need be waited for."""
        for forgets in [forgotten, False][: 2 if known else 0]:
            self.settle_history(NO_PATIENCE)
            self.settle_history(NO_PATIENCE)
            assert self.snapshot().basis == "exact"
            if forgets:
                self.valkey.flushdb()
                assert self.snapshot().basis == "degraded"

    @rule(worker=WORKERS, member=MEMBERS, channel=CHANNELS)
    def join(self, worker: int, member: int, channel: str) -> None:
        joined = self.workers[worker]
        joined.holding(member).join(member, home(member, channel))
        joined.holding(member).connect()
        joined.held[member] += 1
        joined.maybe.add(member)
        self.ledger.add(member)

    @rule(worker=WORKERS, member=MEMBERS)
    def leave(self, worker: int, member: int) -> None:
        left = self.workers[worker]
        left.holding(member).leave(member)
        if left.held[member]:
            left.holding(member).disconnect()
            left.held -= Counter([member])

    @rule(worker=WORKERS, shard=SHARDS, renew=st.booleans(), late=st.booleans())
    def flush(self, worker: int, shard: int, renew: bool, late: bool) -> None:
        flushing, shard = self.workers[worker], shard % self.shards
        if batch := self.take(flushing, shard, renew=renew, late=late):
            self.acknowledge(flushing, shard, reply := self.execute(batch))
            if late and batch.more and reply.status == "applied" and batch.behind:
                assert reply.basis == self.snapshot().basis == "degraded"

    @rule(worker=WORKERS, shard=SHARDS)
    def flush_without_answer(self, worker: int, shard: int) -> None:
        flushing, shard = self.workers[worker], shard % self.shards
        if batch := self.take(flushing, shard, renew=True):
            self.execute(batch)
            flushing.holdings[shard].lost()

    @rule(worker=WORKERS, shard=SHARDS)
    def flush_that_hangs(self, worker: int, shard: int) -> None:
        """It may be executed later, by `deliver_again`, or never."""
        flushing, shard = self.workers[worker], shard % self.shards
        if self.take(flushing, shard, renew=True):
            flushing.holdings[shard].lost()

    @rule(data=st.data())
    @precondition(lambda self: self.sent)
    def deliver_again(self, data: st.DataObject) -> None:
        self.execute(data.draw(st.sampled_from(self.sent[-6:])))

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        self.ghosts |= self.workers[worker].maybe
        self.ledger_needed = True
        self.workers[worker] = self.new_worker()

    @rule(milliseconds=st.sampled_from([100, 900, 1600, 2600, 5001, 12000]))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(limit=st.integers(1, 3))
    def reap(self, limit: int) -> None:
        for slot in self.slots:
            ticked = figures.tick(self.valkey, slot, timing=TIMING, missed=MISSED, now=self.now)
            for boot in ticked.expired:
                figures.reap(self.valkey, slot, boot, timing=TIMING, limit=limit, now=self.now)

    def keys(self, slot: Slot) -> list[bytes]:
        return cast("list[bytes]", self.valkey.keys(key(slot, "*")))

    def forget(self, slot: Slot) -> None:
        self.valkey.delete(*self.keys(slot), "nothing")
        self.told -= {(worker, slot.shard) for worker in self.workers}
        self.ledger_needed = True
        self.recorded = max(self.recorded, self.highest)

    @rule(shard=SHARDS)
    def empty(self, shard: int) -> None:
        self.forget(self.slots[shard % self.shards])

    @rule()
    def remember(self) -> None:
        self.dump = {
            slot: {name: cast(bytes, self.valkey.dump(name)) for name in self.keys(slot)} for slot in self.slots
        }

    @rule(shard=SHARDS)
    @precondition(lambda self: self.dump)
    def fail_over(self, shard: int) -> None:
        """A replica takes over one slot that missed everything since `remember`."""
        slot = self.slots[shard % self.shards]
        self.forget(slot)
        for name, value in self.dump[slot].items():
            self.valkey.restore(name, 0, value)
        self.rolled_back = True
        self.ghosts |= self.maybe() | self.ledger

    @rule(member=MEMBERS, told=st.booleans())
    def check_in(self, member: int, told: bool) -> None:
        self.checked_in.add(member)
        if told:
            figures.note(self.valkey, dict.fromkeys(self.slots, ""), [member, member], field="checked_in", now=self.now)

    def settle_history(self, patience: int = LEASE) -> None:
        """What the worker process does for a stream, as often as it likes."""
        at = datetime.fromtimestamp(1, UTC)
        keeper = Keeper(
            TIMING, (Live(STREAM, OPENS, OPENS, self.recorded, at if self.recorded else None, self.shards),)
        )
        for _ in range(2):
            keeper.reap(self.valkey, now=self.now)
        epochs = {slot: tick.epoch for slot, tick in keeper.ticks.items()}
        figures.note(self.valkey, epochs, sorted(self.ledger), field="joined", now=self.now)
        figures.note(self.valkey, epochs, sorted(self.checked_in), field="checked_in", now=self.now)
        for slot, epoch in epochs.items():
            figures.settle(self.valkey, slot, epoch=epoch, lease=patience, now=self.now)

    @rule()
    def come_to_rest(self) -> None:
        self.flush_everything()
        if not self.ledger_needed:
            assert self.snapshot().joined == len(self.ledger)
        # One lease of patience, one for the dead to expire, a tick each for noticing.
        for _ in range(2 * LEASE // RENEW + 3):
            self.now += RENEW
            self.flush_everything()
            self.settle_history()
        self.ghosts, self.rolled_back, self.sent, self.dump = set(), False, [], {}
        self.check_rest()

    def flush_everything(self) -> None:
        for worker, shard in self.everywhere():
            renew = True
            while batch := self.take(worker, shard, renew=renew):
                self.acknowledge(worker, shard, self.execute(batch))
                renew = False

    def check_rest(self) -> None:
        seen = self.snapshot()
        union = self.held()
        assert (seen.basis, seen.in_doubt) == ("exact", 0)
        assert seen.online == len(union) <= seen.peak
        assert seen.connections == sum(worker.held.total() for worker in self.workers)
        assert seen.joined == len(self.ledger)
        assert seen.checked_in == len(self.checked_in)
        for node, online in seen.organisations.items():
            assert online == sum(str(node) in home(m, "").organisation.split(".") for m in union)
        assert sum(seen.channels.values()) == sum(seen.sources.values()) == len(union)
        self.check_even_members(union)

    def check_even_members(self, union: set[int]) -> None:
        """Their devices agree, so their stored attribution is known; everybody is in the slot that is theirs."""
        for slot in self.slots:
            stored = cast("dict[bytes, bytes]", self.valkey.hgetall(key(slot, "members")))
            assert {int(m) % self.shards for m in stored} <= {slot.shard}
            here = {m for m in union if m % self.shards == slot.shard and m % 2 == 0}
            expected = {str(m).encode(): ";".join(home(m, "")).encode() for m in here}
            assert {m: v.partition(b";")[2] for m, v in stored.items() if int(m) % 2 == 0} == expected

    @invariant()
    def counters_agree(self) -> None:
        assert audit(self.valkey, self.slots).differences == {}
        for slot in self.slots:
            for kind in NODES:
                assert b"0" not in cast("list[bytes]", self.valkey.hvals(key(slot, kind)))

    @invariant()
    def peak_is_bounded(self) -> None:
        seen = self.snapshot()
        self.highest = max(self.highest, len(self.ghosts | self.maybe()))
        assert seen.peak <= max(self.highest, self.recorded)
        if self.shards == 1:
            assert seen.online - seen.in_doubt <= seen.peak

    @invariant()
    def exact_is_exact(self) -> None:
        """Between what workers with a fresh lease hold and what anybody may hold; equal when nobody is in between."""
        seen = self.snapshot()
        if seen.basis == "degraded" or self.rolled_back:
            return
        fresh = [(w, shard) for w, shard in self.everywhere() if self.now - w.heard[shard] <= TIMING.stale]
        if any(pending(worker.holdings[shard]) for worker, shard in fresh):
            return
        lower = set().union(*(worker.mine(worker.held, shard) for worker, shard in fresh))
        assert len(lower) <= seen.online <= len(lower | self.ghosts | self.maybe())

    @invariant()
    def exact_is_of_now(self) -> None:
        """A flush that hung says nothing of what happened since it was made, whenever it is executed."""
        if self.snapshot().basis == "exact":
            for slot in self.slots:
                for boot in cast("list[bytes]", self.valkey.zrange(key(slot, "leases"), 0, -1)):
                    assert self.now - self.proved[boot.decode()] <= TIMING.stale

    @invariant()
    def nothing_pending_is_right(self) -> None:
        """When every slot has heard all there is to hear, the count is the union, whatever comes twice or late."""
        holding = {(worker, shard) for worker, shard in self.everywhere() if worker.mine(worker.maybe, shard)}
        waiting = any(pending(worker.holdings[shard]) for worker, shard in self.everywhere())
        expired = any(self.now - worker.heard[shard] > LEASE for worker, shard in holding)
        if not (waiting or expired or self.ghosts or holding - self.told):
            assert self.snapshot().online == len(self.held())

    def teardown(self) -> None:
        self.come_to_rest()


@pytest.mark.parametrize(("shards", "examples"), [(1, 40), (3, 15)])
def test_counts_whatever_happens(valkey: redis.Redis, shards: int, examples: int) -> None:
    World.valkey, World.shards = valkey, shards
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
