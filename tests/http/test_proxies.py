"""The client's address behind proxies."""

import pytest

from tokensvc.core.addresses import rate_limit_key, wider_networks
from tokensvc.http.proxies import Proxies, check_network

OURS = Proxies(["10.0.0.0/8", "fd00::/16"])
CLIENT, SPOOF = "203.0.113.7", "198.51.100.66"


@pytest.mark.sec(55)
@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, SPOOF, CLIENT),  # any client can forge the field
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", CLIENT, CLIENT),
        ("10.0.0.1", f"{SPOOF}, {CLIENT}", CLIENT),  # the left part came from the client
        ("10.0.0.1", f"{SPOOF},{CLIENT}, 10.0.0.2", CLIENT),  # two proxies
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # only proxies
        ("10.0.0.1", f"{CLIENT}:4711", CLIENT),  # some proxies add the port
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", CLIENT, CLIENT),
        ("::ffff:10.0.0.1", CLIENT, CLIENT),  # IPv4 on a socket of both families
        ("10.0.0.1", f"{SPOOF}, unknown", "10.0.0.1"),  # an invalid address ends the search
        ("10.0.0.1", f"{SPOOF}, ", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.9999", "10.0.0.1"),
        ("", CLIENT, ""),  # a Unix socket has no address to trust
    ],
)
def test_client_is_the_rightmost_untrusted_hop(peer: str, forwarded_for: str, address: str) -> None:
    assert OURS.client_address(peer, forwarded_for) == address


@pytest.mark.sec(55)
def test_forwarded_for_is_ignored_without_trusted_proxies() -> None:
    """The peer is the client, also from loopback."""
    assert Proxies([]).client_address("127.0.0.1", CLIENT) == "127.0.0.1"


@pytest.mark.sec(55)
@pytest.mark.parametrize(
    "cidr",
    [
        *("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/7"),
        *("::/0", "2000::/3", "fc00::/15"),
        *("*", "proxy.example", "10.0.0.1/8"),
    ],
)
def test_invalid_or_too_wide_network_is_refused(cidr: str) -> None:
    """Each with its own text."""
    with pytest.raises(ValueError, match=cidr.split("/", maxsplit=1)[0].replace("*", r"\*")):
        check_network(cidr)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_limit_counts_ipv6_addresses_by_64_bit_network(address: str, key: str) -> None:
    """A client cannot avoid a limit with another address of its own network."""
    assert rate_limit_key(address) == key


def test_wider_networks_of_an_ipv6_address_are_its_56_and_48_bit_networks() -> None:
    key = rate_limit_key("2001:db8:1:2ff::1")
    assert wider_networks(key) == ("2001:db8:1:200::/56", "2001:db8:1::/48")
    assert wider_networks("203.0.113.7") == ()
