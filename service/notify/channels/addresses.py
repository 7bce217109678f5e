"""Which addresses webhooks may go to: public unicast, and nothing that could be inside our own network.

A name is looked up once per connection and the connection goes to the very address that was checked, so a name
that changes its mind between check and use (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's special-purpose registries, and the clouds' metadata addresses outside them.
REFUSED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
# Of IPv6 only global unicast is open, less its special parts; 6to4 and Teredo carry IPv4 addresses inside.
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
REFUSED_V6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)


class AddressRefusedError(Exception):
    """Every address of the host is one that webhooks may not go to."""


class NameUnknownError(Exception):
    """The host's name has no address."""


def is_public(address: Address) -> bool:
    """Whether `address` is ordinary public unicast."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in REFUSED_V4)
    if address.ipv4_mapped:
        return is_public(address.ipv4_mapped)
    return address in GLOBAL_V6 and not any(address in network for network in REFUSED_V6)


def literal(host: str) -> Address | None:
    """The address that `host` spells out, in any form that a resolver would take for one; None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001 and 2130706433 are addresses too.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


async def resolve(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of `host` that a webhook may go to, best first."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NameUnknownError from None
    addresses = [str(entry[4][0]) for entry in found]
    allowed = addresses if private else [text for text in addresses if _allowed(text)]
    if not allowed:
        raise AddressRefusedError
    return allowed


def _allowed(text: str) -> bool:
    address = literal(text)
    return address is not None and is_public(address)
