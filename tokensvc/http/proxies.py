"""
The client's address behind proxies. Pure.

Clients can forge `X-Forwarded-For`, so it is read from the right, and only as long as each hop is a
trusted proxy. No other forwarded field is read: the service knows its own URL.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from tokensvc.core.addresses import Network, parse_address

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
            hop = parse_address(hops.pop().strip())
            if hop is None:
                break
            nearest = str(hop)
        return nearest

    def _is_inside(self, address: str) -> bool:
        parsed = parse_address(address)
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
