"""Addresses of clients, and the networks by which they are counted and compared. Pure."""

import ipaddress
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


def parse_address(text: str) -> Address | None:
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


@lru_cache(maxsize=4096)
def rate_limit_key(address: str) -> str:
    """Return the rate-limit key: an IPv4 address, or the /64 that one client has of IPv6."""
    parsed = parse_address(address)
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
