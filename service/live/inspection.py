"""The audit by the workers' bitmaps: what their connections say, added up, beside every counter, ancestors too.

Its input are the gateways' tables, not Valkey's sets; so it sees what a recount of those sets cannot: that a gateway
and Valkey differ. At rest every difference is a defect. While members come and go, a counter may differ from bitmaps
that are some seconds old by at most the members that moved since, which every flush counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import redis

from service.live.audit import PATHS, audit, scan_hash
from service.live.muster import members_of, unpack
from service.live.scripts import NODES, Slot, Timing, counting_keys, key, source

# In the order of audit.lua's answer.
FIGURES = (
    "online", "joined", "checked_in", "connections", "joined_bits", "checked_in_bits", "boots_connections", "union",
    "strangers",
)  # fmt: skip


class Boot(NamedTuple):
    """What Valkey holds for one boot id, and how its muster compared when it was shown (`mark` -1: not yet)."""

    held: int
    size: int
    moved: int
    mark: int
    lacking: int
    surplus: int
    discord: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The counters of one slot and what the bitmaps say, at one moment."""

    online: int
    joined: int
    checked_in: int
    connections: int
    joined_bits: int
    checked_in_bits: int
    boots_connections: int
    union: int
    strangers: int
    boots: dict[str, Boot]

    @property
    def moved(self) -> int:
        """At most so many members came or went since their worker's muster."""
        return sum(boot.moved for boot in self.boots.values())

    @property
    def marks(self) -> dict[str, int]:
        """Which musters these are."""
        return {name: boot.mark for name, boot in self.boots.items()}

    def differences(self) -> Iterator[tuple[str, int, int]]:
        """(name, counter minus evidence, what movement may explain)."""
        yield "online", self.online - self.union, self.moved
        yield "joined", self.joined - self.joined_bits, 0
        yield "checked_in", self.checked_in - self.checked_in_bits, 0
        yield "connections", self.connections - self.boots_connections, 0
        yield "never joined", self.strangers, 0
        for name, boot in self.boots.items():
            yield f"sizes {name}", boot.size - boot.held, 0
            yield f"held {name} only in Valkey", boot.surplus, 0
            yield f"held {name} only in the gateway", boot.lacking, 0
            yield f"bookkeeping {name}", boot.discord, 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is wrong, and which nodes may be: devices of one member may disagree, which only a recount can tell."""

    differences: dict[str, int]
    suspects: dict[str, int]


def inspect(client: redis.Redis, slot: Slot, *, timing: Timing) -> Inspection | None:
    """Compare the counters of `slot` with the bitmaps; None while figures are degraded or boot ids come and go."""
    before = gather(client, slot, timing)
    if before is None:
        return None
    recount = by_node(read_musters(client, slot, before.boots))
    counters = Counter(dict(counted(client, slot)))
    after = gather(client, slot, timing)
    suspects: dict[str, int] = {}
    if after is not None and after.marks == before.marks:
        changes = {name: counters[name] - recount[name] for name in counters.keys() | recount.keys()}
        suspects = {name: change for name, change in sorted(changes.items()) if abs(change) > after.moved}
    return Inspection({name: by for name, by, excuse in before.differences() if abs(by) > excuse}, suspects)


def defects(client: redis.Redis, slots: Sequence[Slot], *, timing: Timing, recount: bool) -> dict[str, int]:
    """What is wrong with a stream beyond doubt; with `recount`, or if nodes are suspect, by a recount at rest too."""
    wrong: Counter[str] = Counter()
    for slot in slots:
        if found := inspect(client, slot, timing=timing):
            wrong.update(found.differences)
            recount |= bool(found.suspects)
    if recount and (anew := audit(client, slots)).at_rest:
        return dict(wrong) | anew.differences
    return dict(wrong)


def gather(client: redis.Redis, slot: Slot, timing: Timing) -> Evidence | None:
    """The evidence of this moment."""
    boots = [boot.decode() for boot in cast("list[bytes]", client.zrange(key(slot, "leases"), 0, -1))]
    names = [f"{kind}:{boot}" for boot in boots for kind in ("boot", "held", "bits", "muster")]
    keys = [*counting_keys(slot), key(slot, "audit"), *(key(slot, name) for name in names)]
    answer: list[Any] | None = client.register_script(source("audit"))(keys=keys, args=[0, timing.stale, *boots])
    if answer is None:
        return None
    *figures, rows = answer
    found = {boot: Boot(*row) for boot, row in zip(boots, rows, strict=True)}
    return Evidence(**dict(zip(FIGURES, figures, strict=True)), boots=found)


def read_musters(client: redis.Redis, slot: Slot, boots: Iterable[str]) -> Iterator[str]:
    """The attributions of the members in any muster, once each."""
    seen = 0
    for boot in boots:
        bits = cast("bytes | None", client.get(key(slot, f"bits:{boot}"))) or b""
        attributions = unpack(cast("bytes | None", client.hget(key(slot, f"muster:{boot}"), "attributions")))
        # As one long number: the first byte holds the lowest members, so shorter ones are filled up at its end.
        mask = int.from_bytes(bits, "little")
        twice = set(members_of((seen & mask).to_bytes(len(bits), "little")))
        seen |= mask
        if twice:
            pairs = zip(members_of(bits), attributions, strict=False)
            attributions = [attribution for member, attribution in pairs if member not in twice]
        yield from attributions


def by_node(attributions: Iterable[str]) -> Counter[str]:
    """How many members are at each node and each of its ancestors."""
    recount: Counter[str] = Counter()
    # Joined and split again as a whole: a list for each of many thousands costs four times as much.
    values = ";".join(attributions).split(";")
    for index, kind in enumerate(NODES):
        for path, members in Counter(values[index :: len(NODES)]).items():
            for node in path.split(".") if kind in PATHS else [path]:
                if node:
                    recount[f"{kind} {node}"] += members
    return recount


def counted(client: redis.Redis, slot: Slot) -> Iterator[tuple[str, int]]:
    """Every node with its counter."""
    for kind in NODES:
        for node, value in scan_hash(client, key(slot, kind)):
            yield f"{kind} {node.decode()}", int(value)
