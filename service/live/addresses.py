"""From which networks connections come, and how many from each.

Promises: an address that cannot be known (a trusted proxy that does not say, a Unix socket) is not limited; a header is
believed from trusted proxies only, and read from the right as far as the first hop that is none: what a client wrote
itself comes after. Carriers put thousands of phones behind one address: be generous. Of IPv6 a /64 is one address.
"""

import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple

HOPS: Final = 16  # of a header are read, from the right
FORWARDED: Final = "forwarded"

_MAPPED = bytes(10) + b"\xff\xff"


class Network(NamedTuple):
    """A network: how many bytes its addresses have, and which of their bits are whose."""

    size: int
    mask: int
    prefix: int


def read_networks(text: str) -> tuple[Network, ...]:
    """The networks in a comma list; ValueError if one is none."""
    found = (ip_network(one.strip()) for one in text.split(",") if one.strip())
    return tuple(Network(one.max_prefixlen // 8, int(one.netmask), int(one.network_address)) for one in found)


def packed(host: str) -> bytes | None:
    """An address as 4 or 16 bytes, None when it is none; IPv4 in IPv6's clothes is IPv4."""
    try:
        if ":" not in host:
            return socket.inet_pton(socket.AF_INET, host)
        address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return None
    return address[12:] if address.startswith(_MAPPED) else address


def hops(header: str, value: str) -> Iterable[str]:
    """The hosts that a header of that name tells, the nearest first."""
    for element in reversed(value.split(",")[-HOPS:]):
        yield _host(_for(element) if header == FORWARDED else element.strip())


def _for(element: str) -> str:
    pairs = (pair.strip().partition("=") for pair in element.split(";"))
    return next((value.strip('" ') for name, _, value in pairs if name.lower() == "for"), "")


def _host(node: str) -> str:
    """A node without its port."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


class Addresses:
    """How many connections each address has on this worker; `limit` 0 is none."""

    def __init__(self, *, limit: int, proxies: str, header: str) -> None:
        self._limit = limit
        self._header = header.lower()
        self._trusted = read_networks(proxies)
        self._counts: dict[bytes, int] = {}
        # Misses cost a microsecond; members who come directly are mostly all different.
        self._keys = lru_cache(maxsize=1024)(self._key)

    def of_peer(self, host: str) -> bytes | None:
        """The key of who connects from `host`; None for a trusted proxy."""
        return self._keys(host) if self._limit else None

    def behind_proxy(self, headers: dict[str, str]) -> bytes | None:
        """The key of the client that a trusted proxy tells of; None when it tells of none."""
        value = headers.get(self._header) if self._limit else None
        if value is None:
            return None
        for host in hops(self._header, value):
            if packed(host) is None:
                return None
            key = self._keys(host)
            if key is not None:
                return key
        return None

    def enter(self, key: bytes) -> bool:
        """Count one connection more, unless that were too many."""
        count = self._counts.get(key, 0)
        if count >= self._limit:
            return False
        self._counts[key] = count + 1
        return True

    def leave(self, key: bytes) -> None:
        """One that entered is gone."""
        count = self._counts.pop(key) - 1
        if count:
            self._counts[key] = count

    def __len__(self) -> int:
        return len(self._counts)

    def _key(self, host: str) -> bytes | None:
        address = packed(host)
        if address is None:
            return None
        number, size = int.from_bytes(address, "big"), len(address)
        if any(size == one.size and number & one.mask == one.prefix for one in self._trusted):
            return None
        return address[:8]
