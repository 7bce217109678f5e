"""An audit that does not trust the counters: it recounts from what each boot id holds, ancestors too.

At rest every difference is zero. While members come and go the parts are read at different moments; then the answer
says so, and is no alarm.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import redis

from service.live.scripts import NODES, Slot, key

PAGE = 2000
COUNTERS = ("connections", "joined", "checked_in")
PATHS = ("organisations", "places")


@dataclass(frozen=True, slots=True)
class Audit:
    """How far each counter is from the recount (counter minus recount), agreement left out."""

    at_rest: bool
    differences: dict[str, int]


def audit(client: redis.Redis, slots: Iterable[Slot]) -> Audit:
    """Recount every slot of a stream and compare; reads in pages, so that Valkey is never held up."""
    at_rest, differences = True, Counter[str]()
    for slot in slots:
        before = version(client, slot)
        # A name whose differences in two slots cancel out stays, with 0: it is a difference all the same.
        differences.update(compare(counted(client, slot), recounted(client, slot)))
        at_rest &= version(client, slot) == before
    return Audit(at_rest=at_rest, differences=dict(differences))


def version(client: redis.Redis, slot: Slot) -> bytes | None:
    """What changes with every change of the slot's figures."""
    return cast("bytes | None", client.hget(key(slot, "state"), "version"))


def compare(counters: Mapping[str, int], recount: Mapping[str, int]) -> dict[str, int]:
    """Counter minus recount, where they differ."""
    names = counters.keys() | recount.keys()
    changes = {name: counters.get(name, 0) - recount.get(name, 0) for name in names}
    return {name: change for name, change in sorted(changes.items()) if change}


def counted(client: redis.Redis, slot: Slot) -> dict[str, int]:
    """What the counters say, under names such as `organisations 12`."""
    state = dict(zip(COUNTERS, client.hmget(key(slot, "state"), COUNTERS), strict=True))
    counters = {name: int(value or 0) for name, value in state.items()}
    counters["online"] = client.hlen(key(slot, "members"))
    for kind in (*NODES, "sizes"):
        for node, value in scan_hash(client, key(slot, kind)):
            counters[f"{kind} {node.decode()}"] = int(value)
    return counters


def recounted(client: redis.Redis, slot: Slot) -> dict[str, int]:
    """The same counters, counted anew from the sets of the boot ids, the attributions and the bitmaps."""
    boots = [boot.decode() for boot in cast("list[bytes]", client.zrange(key(slot, "leases"), 0, -1))]
    holders: Counter[bytes] = Counter()
    recount: Counter[str] = Counter()
    for boot in boots:
        held = set(client.sscan_iter(key(slot, f"held:{boot}"), count=PAGE))
        holders.update(held)
        recount[f"sizes {boot}"] = len(held)
        recount["connections"] += int(client.hget(key(slot, f"boot:{boot}"), "connections") or 0)
    recount["online"] = len(holders)
    recount.update(by_attribution(client, slot, holders))
    for name in ("joined", "checked_in"):
        recount[name] = client.bitcount(key(slot, name))
    return recount


def by_attribution(client: redis.Redis, slot: Slot, holders: Counter[bytes]) -> Counter[str]:
    """Every node's members, and under `holders` the members whose number of boot ids is wrong."""
    recount: Counter[str] = Counter()
    for member, stored in scan_hash(client, key(slot, "members")):
        boots, *attribution = stored.decode().split(";")
        recount["holders wrong"] += int(boots) != holders[member]
        for kind, path in zip(NODES, attribution, strict=True):
            nodes = path.split(".") if kind in PATHS else [path]
            recount.update(f"{kind} {node}" for node in nodes if node)
    return recount


def scan_hash(client: redis.Redis, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Every field of a hash, once: a scan may answer some twice while the hash is resized."""
    yield from dict(client.hscan_iter(name, count=PAGE)).items()
