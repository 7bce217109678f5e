"""The figures of a stream as Valkey has them: read at one moment, noted from the ledger, settled after a loss."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import redis

from service.live.presence import LIMIT, Basis, moment
from service.live.scripts import Slot, Timing, call

Noted = Literal["joined", "checked_in"]
PeakBasis = Literal["exact", "sampled"]

# The one that says most comes first.
REASONS = ("rebuilding", "lease", "behind")


class Peak(NamedTuple):
    """The highest count of members online, and when it was."""

    online: int
    at: datetime | None


NO_PEAK = Peak(0, None)


class EpochGoneError(Exception):
    """Valkey lost its data meanwhile: what was noted so far is lost with it, begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A stream's figures at `as_of`: people, except `connections`. Exact unless there is a `reason`.

    The peak of a stream in several slots is the highest of the sums that the worker took, one a second: `sampled`.
    """

    stream: int
    epoch: str
    seq: int
    as_of: datetime
    reason: str | None
    in_doubt: int
    online: int
    connections: int
    joined: int
    checked_in: int
    peak: int
    peak_at: datetime | None
    organisations: dict[int, int]
    places: dict[str, int]
    channels: dict[str, int]
    sources: dict[str, int]
    peak_basis: PeakBasis = "exact"

    @property
    def basis(self) -> Basis:
        return "degraded" if self.reason else "exact"


def read_snapshot(
    client: redis.Redis,
    slots: Sequence[Slot],
    *,
    timing: Timing,
    organisations: Sequence[int] = (),
    places: Sequence[str] = (),
    now: int = 0,
) -> Snapshot:
    """The figures of the stream in `slots`, with the asked nodes only, by one call a slot; RedisError without Valkey.

    Nobody is in two slots, so the sums are exact; their time is the oldest and their reason the worst.
    """
    asked: tuple[str | int, ...] = (timing.stale, len(organisations), *organisations, *places)
    answers = [call(client, "snapshot", slot, *asked, now=now) for slot in slots]
    epochs, seqs, times, reasons, in_doubt, online, connections, joined, checked_in, *rest = zip(*answers, strict=True)
    peaks, peak_times, homes, there, channels, sources = rest
    peak, peak_at = max(zip(peaks, peak_times, strict=True))
    return Snapshot(
        stream=slots[0].stream,
        epoch="+".join(epoch.decode() for epoch in epochs),
        seq=sum(seqs),
        as_of=moment(min(times)),
        reason=worst(reason.decode() for reason in reasons),
        in_doubt=sum(in_doubt),
        online=sum(online),
        connections=sum(connections),
        joined=sum(joined),
        checked_in=sum(checked_in),
        peak=peak,
        peak_at=moment(peak_at) if peak_at else None,
        peak_basis="exact" if len(slots) == 1 else "sampled",
        organisations=dict(zip(organisations, map(sum, zip(*homes, strict=True)), strict=True)),
        places=dict(zip(places, map(sum, zip(*there, strict=True)), strict=True)),
        channels=summed(channels),
        sources=summed(sources),
    )


def worst(reasons: Iterable[str]) -> str | None:
    """The reason that says most, None if no slot has one."""
    given = set(reasons)
    return next((reason for reason in REASONS if reason in given), None)


def summed(hashes: Iterable[Sequence[bytes]]) -> dict[str, int]:
    """Hashes of counters, as Valkey's scripts return them, added up."""
    sums: Counter[str] = Counter()
    for flat in hashes:
        sums.update({name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)})
    return dict(sums)


def note_check_ins(client: redis.Redis, slots: Sequence[Slot], members: Iterable[int]) -> int:
    """Count `members` as checked in, once each; how many were new. The check-in's own commit comes first."""
    return note(client, dict.fromkeys(slots, ""), members, field="checked_in")


def take_back(client: redis.Redis, slots: Sequence[Slot], members: Iterable[int]) -> int:
    """Count `members` as not checked in; how many were. The annulment's own commit comes first."""
    chunks = by_slot(slots, members)
    return sum(call(client, "take_back", slot, *chunk) for slot, chunk in chunks)


def note(client: redis.Redis, epochs: Mapping[Slot, str], members: Iterable[int], *, field: Noted, now: int = 0) -> int:
    """Count those of `members` that belong to the given slots, once each however often; how many were new.

    EpochGoneError as soon as Valkey has another epoch than the one that is given with a slot; "" means any.
    """
    fresh = 0
    for slot, chunk in by_slot(epochs, members):
        added: int = call(client, "note", slot, field, epochs[slot], *chunk, now=now)
        if added < 0:
            raise EpochGoneError(slot.tag)
        fresh += added
    return fresh


def by_slot(slots: Iterable[Slot], members: Iterable[int]) -> Iterator[tuple[Slot, list[int]]]:
    """`members` by the slot that counts them, at most LIMIT at a time; who belongs to none of `slots` is left out."""
    waiting: dict[int, tuple[Slot, list[int]]] = {slot.shard: (slot, []) for slot in slots}
    shards = next((slot.shards for slot, _ in waiting.values()), 1)
    for member in members:
        slot, chunk = waiting.get(member % shards, (None, []))
        chunk.append(member)
        if slot is not None and len(chunk) == LIMIT:
            yield slot, chunk
            waiting[slot.shard] = slot, []
    yield from ((slot, chunk) for slot, chunk in waiting.values() if chunk)


def settle(client: redis.Redis, slot: Slot, *, epoch: str, lease: int, now: int = 0) -> bool:
    """Whether a slot whose history is back may be called exact: `lease` ms after its epoch began."""
    return bool(call(client, "settle", slot, epoch, lease, now=now))


@dataclass(frozen=True, slots=True)
class Tick:
    """What a worker's tick found in one slot: the counters to compare with the ledger, and whom to reap.

    `sure` of its members are online beyond doubt.
    """

    epoch: str
    as_of: datetime
    rebuilding: bool
    ripe: bool
    joined: int
    checked_in: int
    sure: int
    highest: Peak
    expired: tuple[str, ...]


# A dead boot id must outlive any flush that is still on its way; a stream's keys may go when its day is long over.
DEAD_KEPT_MS = 3_600_000
STREAM_KEPT_MS = 7 * 86_400_000


def tick(
    client: redis.Redis, slot: Slot, *, timing: Timing, missed: int, highest: Peak = NO_PEAK, now: int = 0
) -> Tick:
    """Tell a slot that a reaper is awake, and the highest count that is known of its stream.

    A gap longer than `missed` ms grants every lease one more term.
    """
    at = round(highest.at.timestamp() * 1000) if highest.at else 0
    arguments = (timing.lease, timing.stale, missed, DEAD_KEPT_MS, STREAM_KEPT_MS, highest.online, at)
    answer = call(client, "tick", slot, *arguments, now=now)
    epoch, as_of, rebuilding, ripe, joined, checked_in, sure, peak, peak_at, expired = answer
    return Tick(
        epoch=epoch.decode(),
        as_of=moment(as_of),
        rebuilding=bool(rebuilding),
        ripe=bool(ripe),
        joined=joined,
        checked_in=checked_in,
        sure=sure,
        highest=Peak(peak, moment(peak_at) if peak_at else None),
        expired=tuple(boot.decode() for boot in expired),
    )


def reap(client: redis.Redis, slot: Slot, boot: str, *, timing: Timing, limit: int = LIMIT, now: int = 0) -> Any:
    """Take one chunk of a dead boot id's members out of the count; how many remain, -1 if it may not be reaped."""
    return call(client, "reap", slot, boot, timing.lease, limit, timing.stale, boot=boot, now=now)
