"""What one gateway worker holds of one slot of a stream, and how it reaches Valkey.

The promise: whatever is lost, late or doubled between a worker and Valkey, the counters end in the set of members
that are really held. A `Holding` is pure: it does no I/O and reads no clock. It gives out one batch at a time, gives
the same batch again after a loss, and on `restart` takes a new boot id and pushes everybody.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from secrets import token_hex
from typing import Any, Literal, NamedTuple, cast

import redis

from service.live.scripts import AsyncCall, Slot, Timing, counting_keys

# Members in one call: some 20 ms of Valkey, and four values each for Lua's unpack, which bears 8,000.
LIMIT = 1500
RESTARTS = 3

Basis = Literal["exact", "degraded"]
Status = Literal["applied", "repeated", "ignored", "restart"]


class Unsettled(redis.RedisError):
    """Valkey asked for a restart again and again; the caller tries later, nothing is lost."""


class Attribution(NamedTuple):
    """Where a member is counted: paths from the root, dot-separated, as in its token."""

    organisation: str
    place: str
    channel: str
    source: str


@dataclass(frozen=True, slots=True)
class Batch:
    """One flush to one slot: leaves apply before joins; `passed` joined and left since the last one.

    `made` is when it was put together, in milliseconds of Valkey's clock as far as that is known, else 0.
    """

    slot: Slot
    boot: str
    sequence: int
    epoch: str
    connections: int
    leaves: tuple[int, ...] = ()
    joins: tuple[tuple[int, str], ...] = ()
    passed: tuple[int, ...] = ()
    behind: int = 0
    final: bool = False
    more: bool = False
    made: int = 0

    def keys(self) -> list[str]:
        """KEYS of flush.lua."""
        return counting_keys(self.slot, self.boot)

    def arguments(self, timing: Timing, now: int = 0) -> list[str | int]:
        """ARGV of flush.lua; `now` 0 means Valkey's own clock."""
        head = (now, self.boot, self.sequence, self.epoch, timing.lease, timing.stale, self.connections)
        sizes = (self.behind, int(self.final), self.made, len(self.leaves), len(self.joins), len(self.passed))
        members = [member for member, _ in self.joins]
        attributions = [attribution for _, attribution in self.joins]
        return [*head, *sizes, *self.leaves, *members, *attributions, *self.passed]


@dataclass(frozen=True, slots=True)
class Reply:
    """Valkey's answer to a batch: the slot's figures after it, and whether they are exact."""

    status: Status
    epoch: str
    online: int
    connections: int
    joined: int
    as_of: datetime
    reason: str | None
    in_doubt: int

    @property
    def basis(self) -> Basis:
        return "degraded" if self.reason else "exact"

    @classmethod
    def parse(cls, answer: Sequence[Any]) -> "Reply":
        """The reply in flush.lua's array."""
        status, epoch, online, connections, joined, as_of, reason, in_doubt = answer
        return cls(
            status=cast(Status, status.decode()),
            epoch=epoch.decode(),
            online=online,
            connections=connections,
            joined=joined,
            as_of=moment(as_of),
            reason=reason.decode() or None,
            in_doubt=in_doubt,
        )


def moment(milliseconds: int) -> datetime:
    """A time that Valkey gave in milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def new_boot() -> str:
    """A boot id that nobody had before."""
    return token_hex(8)


class Holding:
    """The members of one slot that this worker holds.

    `join` and `leave` count the connections and graces of one member; only the first and the last one change anything
    outside. `connect` and `disconnect` count open sockets, which during grace are fewer.
    """

    __slots__ = (
        "_attributions", "_behind", "_extra", "_joins", "_leaves", "_lost", "_passed", "_reported", "_sent",
        "boot", "boots", "connections", "epoch", "sequence", "slot",
    )  # fmt: skip

    def __init__(self, slot: Slot, *, boots: Callable[[], str] = new_boot) -> None:
        self.slot = slot
        self.boots = boots
        self.connections = 0
        self.epoch = ""
        self._attributions: dict[int, str] = {}
        self._extra: dict[int, int] = {}
        self._passed: set[int] = set()
        self._sent: Batch | None = None
        self._lost = False
        self._take_new_boot()

    def __len__(self) -> int:
        """How many distinct members are held."""
        return len(self._attributions)

    def __contains__(self, member: int) -> bool:
        return member in self._attributions

    @property
    def empty(self) -> bool:
        """Whether nothing is held here, nothing waits, and Valkey has no lease of it: the holding may be dropped."""
        return not self._attributions and self._sent is None and not self._changed() and self._unknown()

    @property
    def settled(self) -> bool:
        """Whether Valkey was told everything and has answered, so that it holds just whom we hold."""
        return self._sent is None and not self._changed() and not self._unknown()

    @property
    def told(self) -> Mapping[int, str]:
        """The members held, and the attribution that Valkey is told of each."""
        return self._attributions

    @property
    def repeating(self) -> bool:
        """Whether the next batch is a lost one again, which knows nothing of what happened since."""
        return self._lost

    def join(self, member: int, attribution: Attribution) -> None:
        """Hold `member` once more."""
        if member in self._attributions:
            self._extra[member] = self._extra.get(member, 0) + 1
            return
        # Interned: members of one branch in one place share the text.
        self._attributions[member] = sys.intern(";".join(attribution))
        if member in self._leaves:
            del self._leaves[member]
        else:
            self._joins[member] = None

    def leave(self, member: int) -> None:
        """Hold `member` once less; quiet when it is not held."""
        if extra := self._extra.get(member, 0):
            self._set_extra(member, extra - 1)
        elif self._attributions.pop(member, None) is not None:
            self._let_go(member)

    def connect(self) -> None:
        """One more socket is in the stream."""
        self.connections += 1

    def disconnect(self) -> None:
        """One socket fewer is in the stream."""
        self.connections -= 1

    def batch(
        self, *, limit: int = LIMIT, renew: bool = False, keep: bool = False, late: bool = False, made: int = 0
    ) -> Batch | None:
        """What to send next, or None: the lost batch again, then what changed, or a bare renewal if `renew`.

        Nothing while a batch is under way. A renewal that finds nobody held is final, the lease ends with it, unless
        `keep` asks to hear of this slot all the same. If what changed is `late`, whom no batch tells yet is in doubt.
        """
        if self._sent is not None:
            if not self._lost:
                return None
            self._lost = False
        elif (renew and (keep or self._attributions or not self._unknown())) or self._changed():
            self._sent = self._next(limit, final=renew and not keep, late=late, made=made)
        return self._sent

    def acknowledge(self, reply: Reply) -> None:
        """Take Valkey's answer to the batch under way; on `restart` everybody is pushed anew."""
        sent = self._sent
        if sent is None:
            return
        if reply.status in ("restart", "ignored"):
            self.restart()
            return
        self._sent = None
        self.epoch = reply.epoch
        self.sequence = sent.sequence + 1
        self._reported = sent.connections
        if sent.final:
            self._take_new_boot()

    def lost(self) -> None:
        """No answer came: the same batch, with the same sequence, is given out again."""
        self._lost = True

    def restart(self) -> None:
        """Take a new boot id and push everybody; the old one's members leave when its lease ends."""
        self._lost = False
        if self._sent is not None:
            self._passed.update(self._sent.passed)
            self._passed.update(member for member, _ in self._sent.joins)
            self._sent = None
        self._passed.difference_update(self._attributions)
        self._take_new_boot()
        self._behind = bool(self._joins)

    def _take_new_boot(self) -> None:
        self.boot = self.boots()
        self.epoch = ""
        self.sequence = 1
        self._behind = False
        self._reported = 0
        # Dictionaries, not sets: they keep the order of arrival, so nobody waits behind later ones.
        self._leaves: dict[int, None] = {}
        self._joins: dict[int, None] = dict.fromkeys(self._attributions)

    def _unknown(self) -> bool:
        return self.sequence == 1

    def _changed(self) -> bool:
        waiting = self._joins or self._leaves or self._passed
        return bool(waiting) or self.connections != self._reported

    def _set_extra(self, member: int, extra: int) -> None:
        if extra:
            self._extra[member] = extra
        else:
            del self._extra[member]

    def _let_go(self, member: int) -> None:
        if member in self._joins:
            # Valkey never heard of this presence, but the member did join.
            del self._joins[member]
            self._passed.add(member)
        else:
            self._leaves[member] = None

    def _next(self, limit: int, *, final: bool, late: bool, made: int) -> Batch:
        leaves = take(self._leaves, limit)
        joins = take(self._joins, limit - len(leaves))
        passed = tuple(islice(self._passed, limit - len(leaves) - len(joins)))
        self._passed.difference_update(passed)
        waiting = bool(self._joins or self._leaves or self._passed)
        behind = len(self._joins) + len(self._leaves) if self._behind or late else 0
        self._behind = self._behind and behind > 0
        return Batch(
            slot=self.slot,
            boot=self.boot,
            sequence=self.sequence,
            epoch=self.epoch,
            connections=self.connections,
            leaves=leaves,
            joins=tuple((member, self._attributions[member]) for member in joins),
            passed=passed,
            behind=behind,
            final=final and not waiting and not self._attributions and not self.connections,
            more=waiting,
            made=made,
        )


def take(waiting: dict[int, None], limit: int) -> tuple[int, ...]:
    """Remove and return the first `limit` of `waiting`."""
    if limit >= len(waiting):
        taken = tuple(waiting)
        waiting.clear()
        return taken
    taken = tuple(islice(waiting, limit))
    for member in taken:
        del waiting[member]
    return taken


async def flush(
    script: AsyncCall,
    holding: Holding,
    *,
    timing: Timing,
    renew: bool = False,
    keep: bool = False,
    late: Callable[[], bool] = lambda: False,
    clock: Callable[[], int] = lambda: 0,
    limit: int = LIMIT,
) -> Reply | None:
    """Bring Valkey up to date: on return, everything that was joined or left before the call is counted.

    The answer to the last batch, None if there was nothing to send. Any failure is raised after the batch under way
    was marked as lost; the next call sends it again. One call per holding at a time. `late` says whether what waits has
    waited too long, `clock` what Valkey's clock shows (ms), 0 while that is not known.
    """
    reply, restarts, repeating = None, 0, holding.repeating
    while (batch := holding.batch(limit=limit, renew=renew, keep=keep, late=late(), made=clock())) is not None:
        reply = await deliver(script, holding, batch, timing)
        renew = renew and repeating
        if reply.status == "restart":
            restarts += 1
            if restarts > RESTARTS:
                raise Unsettled(f"{holding.slot.tag}: {restarts} restarts in a row")
        elif not (batch.more or repeating):
            break
        repeating = False
    return reply


async def deliver(script: AsyncCall, holding: Holding, batch: Batch, timing: Timing) -> Reply:
    """Send one batch and tell the holding what became of it."""
    try:
        answer = await script(keys=batch.keys(), args=batch.arguments(timing))
        reply = Reply.parse(answer)
    except BaseException:
        # Cancelled and timed-out calls too: Valkey may have applied it or may do so later.
        holding.lost()
        raise
    holding.acknowledge(reply)
    return reply
