"""Whose address a request has: forwarded fields count as far as our own proxies wrote them."""

import pytest

from tokensvc.http.proxies import Proxies, check_network, rate_limit_key

OURS = Proxies(["10.0.0.0/8", "fd00::/16"])
CLIENT, SPOOF = "203.0.113.7", "198.51.100.66"


@pytest.mark.sec(55)
@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, SPOOF, CLIENT),  # a stranger may write what it likes
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", CLIENT, CLIENT),
        ("10.0.0.1", f"{SPOOF}, {CLIENT}", CLIENT),  # the left part came from the client
        ("10.0.0.1", f"{SPOOF},{CLIENT}, 10.0.0.2", CLIENT),  # two proxies
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # nobody but proxies
        ("10.0.0.1", f"{CLIENT}:4711", CLIENT),  # some proxies add the port
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", CLIENT, CLIENT),
        ("::ffff:10.0.0.1", CLIENT, CLIENT),  # IPv4 on a socket of both families
        ("10.0.0.1", f"{SPOOF}, unknown", "10.0.0.1"),  # what is no address ends the walk
        ("10.0.0.1", f"{SPOOF}, ", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.9999", "10.0.0.1"),
        ("", CLIENT, ""),  # a Unix socket has no address to trust
    ],
)
def test_walk_from_the_right(peer: str, forwarded_for: str, address: str) -> None:
    """The client is the rightmost hop that is no proxy of ours."""
    assert OURS.client_address(peer, forwarded_for) == address


@pytest.mark.sec(55)
def test_without_trusted_proxies_nobody_is_believed() -> None:
    """With no proxies configured the peer is the client, from loopback too."""
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
def test_networks_that_are_refused(cidr: str) -> None:
    """A network that trusts strangers, or that is none, is refused with its own text."""
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
def test_what_a_limit_counts(address: str, key: str) -> None:
    """A client cannot escape a limit by another address of its own IPv6 network."""
    assert rate_limit_key(address) == key
