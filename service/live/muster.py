"""What a gateway worker's connections say that it holds of one slot, for the audit.

Made from the connections and not from the holding's bookkeeping, right after a flush that left nothing waiting: at that
moment the connections, the holding and Valkey must name the same members. A member's attribution is the one that the
worker told Valkey, which only the holding remembers.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from service.live.presence import Attribution, Holding
from service.live.scripts import Slot, counting_keys, key

if TYPE_CHECKING:
    from service.live.audience import Audience
    from service.live.gateway import Gateway

# A slice of the work costs the loop about a millisecond.
SLICE = 2000
# Kept for so many intervals: an audit finds the last one or the one before.
KEPT = 3


def muster_keys(slot: Slot, boot: str) -> list[str]:
    """KEYS of muster.lua."""
    return [*counting_keys(slot, boot), key(slot, f"bits:{boot}"), key(slot, f"muster:{boot}")]


def present(gateway: "Gateway", audience: "Audience", slot: Slot) -> dict[int, Attribution]:
    """The members of `slot` whose connection in `audience` is open, or lost and within grace, which the wheel keeps."""
    lost = (one for one in gateway.wheel if one.transport is None)
    found = {one.member: one.attribution for one in chain(gateway.connections, lost) if one.audience is audience}
    if slot.shards == 1:
        return found
    return {member: where for member, where in found.items() if member % slot.shards == slot.shard}


async def show(
    script: Callable[..., Awaitable[Any]],
    holding: Holding,
    present: Mapping[int, Attribution],
    told: Mapping[int, str],
    *,
    seconds: float,
) -> bool:
    """Give Valkey the members who are `present`, for audits that are `seconds` apart; False if it has heard more since.

    `told` is what the holding had told at the same moment. The holding's flushes wait meanwhile; the loop does not.
    """
    discord = len(present.keys() ^ told.keys())
    await asyncio.sleep(0)
    members = sorted(present)
    bits = bytearray(members[-1] // 8 + 1 if members else 0)
    text, packed = zlib.compressobj(1), bytearray()
    for start in range(0, len(members), SLICE):
        await asyncio.sleep(0)
        part = members[start : start + SLICE]
        for member in part:
            bits[member >> 3] |= 128 >> (member & 7)
        lines = [told.get(member) or ";".join(present[member]) for member in part]
        packed += text.compress("\n".join((*lines, "")).encode())
    packed += text.flush()
    kept = round(KEPT * seconds * 1000)
    arguments = [
        0, holding.sequence - 1, holding.epoch, kept, bytes(bits), bytes(packed), discord,
    ]  # fmt: skip
    return bool(await script(keys=muster_keys(holding.slot, holding.boot), args=arguments))


def unpack(attributions: bytes | None) -> list[str]:
    """The attributions of a muster, in the order of its members."""
    return zlib.decompress(attributions).decode().splitlines() if attributions else []


def members_of(bits: bytes | None) -> list[int]:
    """The members of a bitmap, in order."""
    return [8 * index + bit for index, byte in enumerate(bits or b"") if byte for bit in BITS[byte]]


BITS = [[bit for bit in range(8) if byte & 128 >> bit] for byte in range(256)]
