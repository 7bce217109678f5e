"""Where webhooks may go."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from service.errors import ServiceError
from service.notify.channels import addresses
from service.notify.channels.addresses import AddressRefusedError, NameUnknownError
from service.notify.channels.http import Client, target
from service.notify.endpoints import check_url
from tests.notify.receiver import Receiver

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "169.254.0.23", "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
ALLOWED = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.167.255.255",
    "198.17.255.255", "223.255.255.255", "::ffff:8.8.8.8", "2400:3200::1", "2606:4700:4700::1111",
    "2a00:1450::1",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert not addresses.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ALLOWED)
def test_allowed(text: str) -> None:
    assert addresses.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "fe80::1%eth0"])
def test_an_address_is_recognised_in_every_spelling(host: str) -> None:
    address = addresses.literal(host)
    assert address is not None
    assert not addresses.is_public(address)


def test_a_name_is_no_address() -> None:
    assert addresses.literal("example.org") is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/hook", "scheme"),
        ("ftp://example.org/hook", "scheme"),
        ("https://", "host"),
        ("https://exa mple.org/", "host"),
        ("https://exa%0d%0ample.org/", "host"),
        ("https://user:secret@example.org/", "userinfo"),
        ("https://example.org/#part", "fragment"),
        ("https://127.0.0.1/", "address"),
        ("https://2130706433/", "address"),
        ("https://[::ffff:10.0.0.1]/", "address"),
        ("https://169.254.169.254/latest/meta-data", "address"),
        ("https://exa\0mple.org/", "url"),
        ("https://example.org:99999/", "port"),
        ("https://example.org:0/", "port"),
        ("nonsense", "scheme"),
    ],
)
def test_urls_that_are_refused_at_registration(url: str, reason: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        check_url(url, private=False)
    assert (refusal.value.code, refusal.value.details["reason"]) == ("endpoint_refused", reason)


@pytest.mark.parametrize("url", ["https://example.org/hook?a=b", "https://例子.中国/", "https://8.8.8.8:8443/"])
def test_urls_that_are_taken(url: str) -> None:
    check_url(url, private=False)


def test_private_is_for_demo_and_tests() -> None:
    check_url("http://127.0.0.1:8000/hook", private=True)


def answering(*found: str) -> Any:
    """A resolver that knows one answer, and counts how often it is asked."""

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        getaddrinfo.asked.append(host)  # type: ignore[attr-defined]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    getaddrinfo.asked = []  # type: ignore[attr-defined]
    return getaddrinfo


async def resolved(*found: str, private: bool = False) -> list[str]:
    asyncio.get_running_loop().getaddrinfo = answering(*found)  # type: ignore[method-assign]
    return await addresses.resolve("name.example", 443, private=private)


def test_only_public_addresses_of_a_name_are_used() -> None:
    assert asyncio.run(resolved("10.0.0.1", "8.8.8.8", "::1")) == ["8.8.8.8"]


def test_a_name_with_private_addresses_only_is_refused() -> None:
    with pytest.raises(AddressRefusedError):
        asyncio.run(resolved("10.0.0.1", "169.254.169.254"))


def test_private_addresses_are_a_setting() -> None:
    assert asyncio.run(resolved("10.0.0.1", private=True)) == ["10.0.0.1"]


def test_an_unknown_name_says_so() -> None:
    async def fail() -> None:
        async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
            raise socket.gaierror(-2, "Name or service not known")

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[method-assign]
        await addresses.resolve("name.example", 443, private=False)

    with pytest.raises(NameUnknownError):
        asyncio.run(fail())


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is asked for once: a second answer (DNS rebinding) would never be heard."""
    asked: list[str] = []

    async def resolve(host: str, port: int, *, private: bool) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr("service.notify.channels.http.resolve", resolve)
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]

    async def post() -> int:
        client = Client(private=False, most_idle=4)
        # The name cannot be resolved by anybody else: reserved names have no address.
        goal = target(f"http://hook.invalid:{port}/hook")
        first = await client.post(goal, headers={}, content=b"{}")
        await client.post(goal, headers={}, content=b"{}")
        client.close()
        return first.status

    assert asyncio.run(post()) == 204
    assert asked == ["hook.invalid"]
    assert receiver.arrivals[0].headers["host"] == f"hook.invalid:{port}"
