"""The laws of the count, against a real Valkey and an oracle that only knows who is really held.

Whatever happens (second devices, repeats, crashes, late, lost and doubled flushes, expired leases, an emptied Valkey, a
replica that missed the last flushes), the counters agree with each other after every step, figures that call themselves
exact are right, and at rest everything equals the oracle.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import cast

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
from service.live.scripts import NODES, Timing, call, key

STREAM = 7
RENEW, LEASE, MISSED = 1000, 5000, 2500
TIMING = Timing(lease=LEASE, stale=1500)
WORKERS = st.integers(0, 2)
MEMBERS = st.integers(1, 12)
CHANNELS = st.sampled_from(["h5", "android", "mini_program"])


def home(member: int, channel: str) -> Attribution:
    """Even members always come with one attribution; odd ones' devices disagree about the place as well."""
    branch = f"1.{10 + member % 2}.{100 + member % 4}"
    if member % 2 == 0:
        return Attribution(branch, f"54.{5400 + member % 3}", "h5", "hls")
    return Attribution(branch, "54.5401.540102" if channel == "h5" else "50.500101", channel, "hls")


class World(RuleBasedStateMachine):
    """Three workers, a clock, a network that loses and doubles, and a Valkey that forgets."""

    valkey: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.valkey.flushdb()
        self.now = 1_000_000
        self.boots = 0
        self.holdings = [self.new_holding() for _ in range(3)]
        self.held: list[Counter[int]] = [Counter(), Counter(), Counter()]
        # When each worker was last answered in time; what Valkey may know of it; what nobody takes back any more.
        self.heard = [0, 0, 0]
        self.maybe: list[set[int]] = [set(), set(), set()]
        self.ghosts: set[int] = set()
        self.sent: list[Batch] = []
        self.ledger: set[int] = set()
        self.checked_in: set[int] = set()
        self.ledger_needed = False
        self.rolled_back = False
        # Workers that Valkey answered since it last forgot something.
        self.told: set[int] = set()
        self.highest = self.recorded = 0
        self.dump: dict[bytes, bytes] = {}

    def new_holding(self) -> Holding:
        return Holding(STREAM, boots=self.new_boot)

    def new_boot(self) -> str:
        self.boots += 1
        return f"boot-{self.boots}"

    def execute(self, batch: Batch) -> Reply:
        name, *arguments = ("flush", *batch.arguments(TIMING)[1:])
        return Reply.parse(call(self.valkey, name, STREAM, *arguments, boot=batch.boot, now=self.now))

    def snapshot(self) -> figures.Snapshot:
        places = ("54", "5400", "5401", "5402", "540102", "50", "500101")
        organisations = (1, 10, 11, 100, 101, 102, 103)
        return figures.read_snapshot(
            self.valkey, STREAM, timing=TIMING, organisations=organisations, places=places, now=self.now
        )

    def take(self, worker: int, *, renew: bool, limit: int = 3) -> Batch | None:
        batch = self.holdings[worker].batch(limit=limit, renew=renew)
        if batch is not None:
            self.sent.append(batch)
        return batch

    def acknowledge(self, worker: int, reply: Reply) -> None:
        holding = self.holdings[worker]
        holding.acknowledge(reply)
        if reply.status == "restart":
            self.ghosts |= self.maybe[worker]
        elif reply.status == "applied":
            self.heard[worker] = self.now
            self.told.add(worker)
        if not holding._changed():
            self.maybe[worker] = set(self.held[worker])

    @initialize(known=st.booleans())
    def open(self, known: bool) -> None:
        """The worker process may have known the stream before anybody came."""
        if known:
            self.settle_history()
            self.now += LEASE + 1
            self.settle_history()
            assert self.snapshot().basis == "exact"

    @rule(worker=WORKERS, member=MEMBERS, channel=CHANNELS)
    def join(self, worker: int, member: int, channel: str) -> None:
        self.holdings[worker].join(member, home(member, channel))
        self.holdings[worker].connect()
        self.held[worker][member] += 1
        self.maybe[worker].add(member)
        self.ledger.add(member)

    @rule(worker=WORKERS, member=MEMBERS)
    def leave(self, worker: int, member: int) -> None:
        self.holdings[worker].leave(member)
        if self.held[worker][member]:
            self.holdings[worker].disconnect()
            self.held[worker] -= Counter([member])

    @rule(worker=WORKERS, renew=st.booleans())
    def flush(self, worker: int, renew: bool) -> None:
        if batch := self.take(worker, renew=renew):
            self.acknowledge(worker, self.execute(batch))

    @rule(worker=WORKERS)
    def flush_without_answer(self, worker: int) -> None:
        if batch := self.take(worker, renew=True):
            self.execute(batch)
            self.holdings[worker].lost()

    @rule(worker=WORKERS)
    def flush_that_hangs(self, worker: int) -> None:
        """It may be executed later, by `deliver_again`, or never."""
        if self.take(worker, renew=True):
            self.holdings[worker].lost()

    @rule(data=st.data())
    @precondition(lambda self: self.sent)
    def deliver_again(self, data: st.DataObject) -> None:
        self.execute(data.draw(st.sampled_from(self.sent[-6:])))

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        self.ghosts |= self.maybe[worker]
        self.ledger_needed = True
        self.holdings[worker] = self.new_holding()
        self.held[worker], self.maybe[worker], self.heard[worker] = Counter(), set(), 0

    @rule(milliseconds=st.sampled_from([100, 900, 1600, 2600, 5001, 12000]))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(limit=st.integers(1, 3))
    def reap(self, limit: int) -> None:
        ticked = figures.tick(self.valkey, STREAM, timing=TIMING, missed=MISSED, now=self.now)
        for boot in ticked.expired:
            figures.reap(self.valkey, STREAM, boot, timing=TIMING, limit=limit, now=self.now)

    @rule()
    def empty(self) -> None:
        self.valkey.flushdb()
        self.told.clear()
        self.ledger_needed = True
        self.recorded = max(self.recorded, self.highest)

    @rule()
    def remember(self) -> None:
        names = cast("list[bytes]", self.valkey.keys())
        self.dump = {name: cast(bytes, self.valkey.dump(name)) for name in names}

    @rule()
    @precondition(lambda self: self.dump)
    def fail_over(self) -> None:
        """A replica takes over that missed everything since `remember`."""
        self.valkey.flushdb()
        for name, value in self.dump.items():
            self.valkey.restore(name, 0, value)
        self.told.clear()
        self.ledger_needed = self.rolled_back = True
        self.ghosts |= set().union(*self.maybe) | self.ledger
        self.recorded = max(self.recorded, self.highest)

    @rule(member=MEMBERS, told=st.booleans())
    def check_in(self, member: int, told: bool) -> None:
        self.checked_in.add(member)
        if told:
            figures.note(self.valkey, STREAM, [member, member], field="checked_in", now=self.now)

    def settle_history(self) -> None:
        """What the worker process does for a stream, as often as it likes."""
        self.reap(500)
        ticked = figures.tick(self.valkey, STREAM, timing=TIMING, missed=MISSED, now=self.now)
        noted: dict[figures.Noted, set[int]] = {"joined": self.ledger, "checked_in": self.checked_in}
        for field, members in noted.items():
            figures.note(self.valkey, STREAM, sorted(members), field=field, epoch=ticked.epoch, now=self.now)
        at = datetime.fromtimestamp(1, UTC)
        figures.settle(
            self.valkey, STREAM, epoch=ticked.epoch, lease=LEASE, peak=self.recorded, peak_at=at, now=self.now
        )

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
        for worker in range(3):
            renew = True
            while batch := self.take(worker, renew=renew):
                self.acknowledge(worker, self.execute(batch))
                renew = False

    def check_rest(self) -> None:
        seen = self.snapshot()
        union = set().union(*self.held)
        assert (seen.basis, seen.in_doubt) == ("exact", 0)
        assert seen.online == len(union)
        assert seen.connections == sum(held.total() for held in self.held)
        assert seen.joined == len(self.ledger)
        assert seen.checked_in == len(self.checked_in)
        for node, online in seen.organisations.items():
            assert online == sum(str(node) in home(m, "").organisation.split(".") for m in union)
        assert sum(seen.channels.values()) == sum(seen.sources.values()) == len(union)
        self.check_even_members(union)

    def check_even_members(self, union: set[int]) -> None:
        """Their devices agree, so their stored attribution is known."""
        stored = cast("dict[bytes, bytes]", self.valkey.hgetall(key(STREAM, "members")))
        expected = {str(m).encode(): ";".join(home(m, "")).encode() for m in union if m % 2 == 0}
        found = {m: v.partition(b";")[2] for m, v in stored.items() if int(m) % 2 == 0}
        assert found == expected

    @invariant()
    def counters_agree(self) -> None:
        assert audit(self.valkey, STREAM).differences == {}
        for kind in NODES:
            assert b"0" not in cast("list[bytes]", self.valkey.hvals(key(STREAM, kind)))

    @invariant()
    def peak_is_bounded(self) -> None:
        seen = self.snapshot()
        possible = len(set().union(self.ghosts, *self.maybe))
        self.highest = max(self.highest, possible)
        assert seen.online - seen.in_doubt <= seen.peak <= max(self.highest, self.recorded)

    @invariant()
    def exact_is_exact(self) -> None:
        """Between what workers with a fresh lease hold and what anybody may hold; equal when nobody is in between."""
        seen = self.snapshot()
        if seen.basis == "degraded" or self.rolled_back:
            return
        fresh = [w for w in range(3) if self.now - self.heard[w] <= TIMING.stale]
        if any(self.holdings[w]._changed() or self.holdings[w]._sent for w in fresh):
            return
        lower = set().union(*(self.held[w] for w in fresh))
        assert len(lower) <= seen.online <= len(set().union(lower, self.ghosts, *self.maybe))

    @invariant()
    def nothing_pending_is_right(self) -> None:
        """When Valkey has heard all there is to hear, the count is the union, whatever comes twice or late."""
        holding = [w for w in range(3) if self.maybe[w]]
        pending = any(self.holdings[w]._changed() or self.holdings[w]._sent for w in range(3))
        expired = any(self.now - self.heard[w] > LEASE for w in holding)
        if not (pending or expired or self.ghosts or set(holding) - self.told):
            assert self.snapshot().online == len(set().union(*self.held))

    def teardown(self) -> None:
        self.come_to_rest()


def test_counts_whatever_happens(valkey: redis.Redis) -> None:
    World.valkey = valkey
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
