"""
The URLs and addresses that an outgoing request may use. Pure.

The URL of a provider's keys comes from its metadata, and the address from its DNS: without these
rules either could direct a request to the database or to the cloud's metadata service.
"""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from tokensvc.core.addresses import Address, Network

_PRINTABLE = re.compile(r"[!-~]+")

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = (
    ipaddress.ip_network("192.0.0.0/24"),  # Oracle's, and public to older Pythons
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's, and public to all
)
"""Metadata services of clouds whose addresses are not private."""


def check_key_url(url: str) -> None:
    """
    Check a URL from which keys may be fetched: https, or http on this machine.

    Raises:
        ValueError: The URL is not allowed; the text tells the operator why.
    """
    if not _PRINTABLE.fullmatch(url):
        raise ValueError("is not a URL")
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError for an invalid port
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or a password")
    if parts.fragment:
        raise ValueError("must not contain a fragment (#)")
    if parts.scheme == "http" and not names_loopback(parts.hostname):
        raise ValueError("must begin with https://: http is for loopback addresses only")


def is_loopback_url(url: str) -> bool:
    """Return whether a URL names this machine."""
    return names_loopback(urlsplit(url).hostname or "")


def names_loopback(host: str) -> bool:
    """Return whether the host of a URL is this machine, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_connect(
    address: Address, *, allowed_networks: Sequence[Network], loopback_allowed: bool
) -> bool:
    """
    Return whether an address may be used.

    Args:
        address: Result of the name look-up.
        allowed_networks: Networks that the operator allows, public or not.
        loopback_allowed: Whether the operator's own URL names this machine.
    """
    target = _embedded(address)
    if any(target in network for network in allowed_networks):
        return True
    if target.is_loopback:
        return loopback_allowed
    return _is_public(target)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if address.is_multicast or any(address in network for network in _METADATA):
        return False
    return address.is_global


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
