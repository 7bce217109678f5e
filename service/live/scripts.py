"""Names of a stream's keys in Valkey, and the scripts that are allowed to touch them.

A stream's members are spread over one or more slots, each of which counts its own as if it were a stream of its own.
All keys of one slot share a hash tag, so they live on one node of a cluster, and every key that a script touches is
passed to it.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import redis

from service.config import Config

FOLDER = Path(__file__).with_name("lua")
SHARED = ("state", "leases", "dead", "sizes", "behind", "members", "joined", "checked_in")
READING = ("snapshot",)
NODES = ("organisations", "places", "channels", "sources")


class AsyncCall(Protocol):
    """A script registered with an asyncio client."""

    def __call__(self, *, keys: Sequence[str], args: Sequence[str | int]) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a lease lasts, and from which age on it makes the figures doubtful. Milliseconds."""

    lease: int
    stale: int

    @property
    def late(self) -> int:
        """How long a change may wait before whom it concerns is in doubt: as long as a renewal may be late."""
        return self.stale // 3

    @property
    def tick(self) -> int:
        """How often a worker looks for leases that ended.

        At least five times a lease: two missed ticks are noticed within half of one, and a lease was renewed within the
        other half (`stale`). So none ends by a pause that goes unnoticed.
        """
        return min(1000, self.lease // 5)

    @classmethod
    def of(cls, config: Config) -> "Timing":
        """A lease is stale when it was not renewed within one and a half intervals."""
        return cls(lease=round(config.lease_seconds * 1000), stale=round(config.renew_seconds * 1500))


class Slot(NamedTuple):
    """The part of a stream's members that is counted in one place: those whose number modulo `shards` is `shard`."""

    stream: int
    shard: int = 0
    shards: int = 1

    @property
    def tag(self) -> str:
        """The hash tag of its keys."""
        return f"s{self.stream}" if self.shards == 1 else f"s{self.stream}:{self.shard}"


def slots_of(stream: int, shards: int) -> tuple[Slot, ...]:
    """The slots of a stream: a member is in the one at its number modulo `shards`."""
    return tuple(Slot(stream, shard, shards) for shard in range(shards))


def key(slot: Slot, name: str) -> str:
    """The key of `name` in a slot."""
    return f"live:{{{slot.tag}}}:{name}"


def counting_keys(slot: Slot, boot: str = "") -> list[str]:
    """The keys of counting.lua, in its order; with a boot id also that boot's two."""
    names = [*SHARED, *NODES]
    if boot:
        names += [f"boot:{boot}", f"held:{boot}"]
    return [key(slot, name) for name in names]


@cache
def source(name: str) -> str:
    """The text of one script, with the functions that all share in front.

    The first line makes Valkey refuse a script before its first write when memory is short, instead of half way.
    """
    head = "#!lua flags=no-writes" if name in READING else "#!lua"
    shared = (FOLDER / "counting.lua").read_text()
    return f"{head}\n{shared}\n{(FOLDER / f'{name}.lua').read_text()}"


def call(client: redis.Redis, name: str, slot: Slot, *arguments: str | int, boot: str = "", now: int = 0) -> Any:
    """Run one script on the keys of a slot; `now` 0 means Valkey's own clock."""
    script = client.register_script(source(name))
    return script(keys=counting_keys(slot, boot), args=[now, *arguments])
