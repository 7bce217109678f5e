"""The figures of a stream as Valkey has them: read at one moment, noted from the ledger, settled after a loss."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal

import redis

from service.live.presence import LIMIT, Basis, moment
from service.live.scripts import Timing, call

Noted = Literal["joined", "checked_in"]


class EpochGoneError(Exception):
    """Valkey lost its data meanwhile: what was noted so far is lost with it, begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A stream's figures at `as_of`: people, except `connections`. Exact unless there is a `reason`."""

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

    @property
    def basis(self) -> Basis:
        return "degraded" if self.reason else "exact"


def read_snapshot(
    client: redis.Redis,
    stream: int,
    *,
    timing: Timing,
    organisations: Sequence[int] = (),
    places: Sequence[str] = (),
    now: int = 0,
) -> Snapshot:
    """The figures of `stream`, with the asked nodes only; one call. redis.RedisError without Valkey."""
    arguments: list[str | int] = [timing.stale, len(organisations), *organisations, *places]
    answer = call(client, "snapshot", stream, *arguments, now=now)
    epoch, seq, as_of, reason, in_doubt, online, connections, joined, checked_in, peak, peak_at = answer[:11]
    return Snapshot(
        stream=stream,
        epoch=epoch.decode(),
        seq=seq,
        as_of=moment(as_of),
        reason=reason.decode() or None,
        in_doubt=in_doubt,
        online=online,
        connections=connections,
        joined=joined,
        checked_in=checked_in,
        peak=peak,
        peak_at=moment(peak_at) if peak_at else None,
        organisations=dict(zip(organisations, answer[11], strict=True)),
        places=dict(zip(places, answer[12], strict=True)),
        channels=pairs(answer[13]),
        sources=pairs(answer[14]),
    )


def pairs(flat: Sequence[bytes]) -> dict[str, int]:
    """A hash of counters as Valkey's scripts return it."""
    return {name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def note_check_ins(client: redis.Redis, stream: int, members: Iterable[int]) -> int:
    """Count `members` as checked in, once each; how many were new. The check-in's own commit comes first."""
    return note(client, stream, members, field="checked_in")


def note(
    client: redis.Redis, stream: int, members: Iterable[int], *, field: Noted, epoch: str = "", now: int = 0
) -> int:
    """Count `members` as joined or checked in, once each however often; how many were new.

    With an `epoch`, EpochGoneError as soon as Valkey has another.
    """
    fresh = 0
    for chunk in chunks(members, LIMIT):
        added: int = call(client, "note", stream, field, epoch, *chunk, now=now)
        if added < 0:
            raise EpochGoneError(stream)
        fresh += added
    return fresh


def settle(
    client: redis.Redis,
    stream: int,
    *,
    epoch: str,
    lease: int,
    peak: int = 0,
    peak_at: datetime | None = None,
    now: int = 0,
) -> bool:
    """Take over the recorded peak; whether the figures may be called exact, one full lease after the loss."""
    at = round(peak_at.timestamp() * 1000) if peak_at else 0
    return bool(call(client, "settle", stream, epoch, lease, peak, at, now=now))


def chunks(values: Iterable[int], size: int) -> Iterator[tuple[int, ...]]:
    """`values` in tuples of at most `size`."""
    rest = iter(values)
    while chunk := tuple(islice(rest, size)):
        yield chunk


@dataclass(frozen=True, slots=True)
class Tick:
    """What a worker's tick found: the counters to compare with the ledger, and whom to reap."""

    epoch: str
    rebuilding: bool
    ripe: bool
    joined: int
    checked_in: int
    peak: int
    peak_at: datetime | None
    expired: tuple[str, ...]


# A dead boot id must outlive any flush that is still on its way; a stream's keys may go when its day is long over.
DEAD_KEPT_MS = 3_600_000
STREAM_KEPT_MS = 7 * 86_400_000


def tick(client: redis.Redis, stream: int, *, timing: Timing, missed: int, now: int = 0) -> Tick:
    """Tell Valkey that a reaper is awake; a gap longer than `missed` ms grants every lease one more term."""
    arguments = (timing.lease, missed, DEAD_KEPT_MS, STREAM_KEPT_MS)
    answer = call(client, "tick", stream, *arguments, now=now)
    epoch, rebuilding, ripe, joined, checked_in, peak, at, expired = answer
    return Tick(
        epoch=epoch.decode(),
        rebuilding=bool(rebuilding),
        ripe=bool(ripe),
        joined=joined,
        checked_in=checked_in,
        peak=peak,
        peak_at=moment(at) if at else None,
        expired=tuple(boot.decode() for boot in expired),
    )


def reap(client: redis.Redis, stream: int, boot: str, *, timing: Timing, limit: int = LIMIT, now: int = 0) -> Any:
    """Take one chunk of a dead boot id's members out of the count; how many remain, -1 if it may not be reaped."""
    return call(client, "reap", stream, boot, timing.lease, limit, timing.stale, boot=boot, now=now)
