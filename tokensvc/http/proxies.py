"""
The client's address behind proxies. Pure.

Clients can forge `X-Forwarded-For`, so it is read from the right, and only as long as each hop is a
trusted proxy. No other forwarded field is read: the service knows its own URL.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE = 64
"""Bits. A household gets a /64, so one client has 2^64 addresses."""

_NETWORK_PREFIX = {4: 24, 6: 48}
"""Bits that the addresses of one place have in common."""

_WIDER_NETWORKS = (56, 48)
"""Bits of the networks that providers give to customers (RFC 6177, RIPE-690)."""

_SHORTEST_PREFIX = {4: 8, 6: 16}
"""Bits. 10.0.0.0/8 is the widest network of a single operator."""


class Proxies:
    """
    Trusted proxies.

    Args:
        cidrs: Networks of the proxies.

    Raises:
        ValueError: One is not a CIDR or is too wide.
    """

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._networks = tuple(check_network(cidr) for cidr in cidrs)
        # Bounded, because clients choose the keys.
        self._trust = lru_cache(maxsize=1024)(self._is_inside)

    def trust(self, address: str) -> bool:
        """Return whether the address is a trusted proxy."""
        return bool(self._networks) and self._trust(address)

    def client_address(self, peer: str, forwarded_for: str) -> str:
        """
        Return the address of the nearest hop that is not a trusted proxy.

        Args:
            peer: Address of the connection's other end.
            forwarded_for: Value of `X-Forwarded-For`, "" without the field.
        """
        nearest = peer
        hops = forwarded_for.split(",") if forwarded_for else []
        while hops and self.trust(nearest):
            hop = _parse(hops.pop().strip())
            if hop is None:
                break
            nearest = str(hop)
        return nearest

    def _is_inside(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def check_network(cidr: str) -> Network:
    """
    Parse the network of a proxy.

    Raises:
        ValueError: It is not a CIDR or is too wide.
    """
    network = ipaddress.ip_network(cidr)
    if network.prefixlen < _SHORTEST_PREFIX[network.version]:
        raise ValueError(
            f"{network} is too wide: write the networks of your proxies, at most /8 (IPv6: /16)"
        )
    return network


@lru_cache(maxsize=4096)
def rate_limit_key(address: str) -> str:
    """Return the rate-limit key: an IPv4 address, or the /64 that one client has of IPv6."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
    return address if parsed is None else str(parsed)


@lru_cache(maxsize=4096)
def network_of(key: str) -> str:
    """Return the network of a `rate_limit_key`: /24 of IPv4, /48 of IPv6; another text as it is."""
    try:
        network = ipaddress.ip_network(key)
    except ValueError:
        return key
    return str(network.supernet(new_prefix=_NETWORK_PREFIX[network.version]))


@lru_cache(maxsize=4096)
def wider_networks(key: str) -> tuple[str, ...]:
    """Return the /56 and the /48 of a `rate_limit_key`: one customer has up to 2^16 of /64."""
    if "/" not in key:
        return ()
    site = ipaddress.ip_network(key)
    return tuple(str(site.supernet(new_prefix=bits)) for bits in _WIDER_NETWORKS)


def _parse(text: str) -> Address | None:
    """Parse an address, which may have a port. IPv4 in IPv6 becomes IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
