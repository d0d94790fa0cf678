"""
The client's address behind proxies. Pure.

`X-Forwarded-For` is only as true as the one who wrote it: it is read from the right, and only as
far as each hop is a proxy of ours. No other forwarded field is read: the service knows its own URL.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE = 64
"""Bits: a household gets a /64, so one client has 2^64 addresses."""

_SHORTEST_PREFIX = {4: 8, 6: 16}
"""Bits: 10.0.0.0/8 is the widest network that one operator has."""


class Proxies:
    """
    The proxies of ours.

    Args:
        cidrs: Their networks.

    Raises:
        ValueError: One is no CIDR, or trusts strangers.
    """

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._networks = tuple(check_network(cidr) for cidr in cidrs)
        # Bounded: what strangers send must not grow it.
        self._trust = lru_cache(maxsize=1024)(self._is_inside)

    def trust(self, address: str) -> bool:
        """Tell whether the address is a proxy of ours."""
        return bool(self._networks) and self._trust(address)

    def client_address(self, peer: str, forwarded_for: str) -> str:
        """
        Give the address of the nearest hop that is no proxy of ours.

        Args:
            peer: The address that the connection came from.
            forwarded_for: `X-Forwarded-For`, fields joined by commas; "" for none.
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
        ValueError: It is no CIDR, or trusts strangers.
    """
    network = ipaddress.ip_network(cidr)
    if network.prefixlen < _SHORTEST_PREFIX[network.version]:
        raise ValueError(
            f"{network} trusts strangers: name the networks of your proxies, "
            "/8 (IPv6: /16) at the widest"
        )
    return network


@lru_cache(maxsize=4096)
def rate_limit_key(address: str) -> str:
    """Give what one client cannot change at will: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
    return address if parsed is None else str(parsed)


def _parse(text: str) -> Address | None:
    """Parse an address, with the port that some proxies add; IPv4 in IPv6 is IPv4."""
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
