"""How much memory a worker may use, and how much it does. Linux tells; where nobody does, there is no limit."""

import math
import os
from pathlib import Path
from typing import Final

SHARE: Final = 0.5  # of what there is, for all workers together: a socket costs the kernel as much as it costs us
MIB: Final = 1 << 20

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def resident() -> int:
    """Bytes of this process that are in memory; 0 when unknown."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def available() -> int:
    """Bytes that this machine or container has in all; 0 when unknown."""
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (OSError, ValueError):
        return 0
    for path in map(Path, _CGROUP_LIMITS):
        if path.exists() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def limit(mib: int, *, workers: int) -> float:
    """Bytes that a worker may have resident: `mib`, or with 0 its share of all there is beyond what it has already."""
    if mib:
        return mib * MIB
    return resident() + available() * SHARE / workers or math.inf
