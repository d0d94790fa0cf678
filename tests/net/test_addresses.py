"""The addresses to which outgoing requests may connect."""

import ipaddress

import pytest

from tokensvc.net.addresses import may_connect


@pytest.mark.sec(17)
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # AWS, Google, Azure
        "168.63.129.16",  # Azure, though public
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_private_and_metadata_addresses_are_refused(address: str) -> None:
    """In IPv4, in IPv6, and in IPv4 inside IPv6."""
    assert not may_connect(
        ipaddress.ip_address(address), allowed_networks=(), loopback_allowed=False
    )


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "142.250.74.74", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_connect(ipaddress.ip_address(address), allowed_networks=(), loopback_allowed=False)


def test_allowed_networks_and_loopback_are_exceptions() -> None:
    """Independent of each other; an IPv4 network also covers its addresses inside IPv6."""
    inside = ipaddress.ip_address("10.1.2.3")
    loopback = ipaddress.ip_address("127.0.0.1")
    allowed = (ipaddress.ip_network("10.1.0.0/16"),)
    assert may_connect(inside, allowed_networks=allowed, loopback_allowed=False)
    mapped = ipaddress.ip_address("::ffff:10.1.2.3")
    assert may_connect(mapped, allowed_networks=allowed, loopback_allowed=False)
    assert not may_connect(
        ipaddress.ip_address("10.2.0.1"), allowed_networks=allowed, loopback_allowed=True
    )
    assert may_connect(loopback, allowed_networks=(), loopback_allowed=True)
    assert not may_connect(inside, allowed_networks=(), loopback_allowed=True)
