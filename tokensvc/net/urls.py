"""Which URLs keys may be fetched from, by their text alone. Pure."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PRINTABLE = re.compile(r"[!-~]+")
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class KeyUrl:
    """
    A URL to fetch from, taken apart.

    Attributes:
        host: As in the URL, an IPv6 address without its brackets.
        target: Path and query, as they go into the request line.
        is_loopback: Whether the URL itself names this machine.
    """

    scheme: str
    host: str
    port: int
    target: str
    is_loopback: bool


def parse_key_url(url: str) -> KeyUrl:
    """
    Take a URL apart that keys may be fetched from: https, or http on this machine.

    Raises:
        ValueError: With what is wrong, for the operator.
    """
    if not _PRINTABLE.fullmatch(url):
        raise ValueError("is no URL")
    parts = urlsplit(url)
    port = parts.port  # a port that is no number raises here
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or a password")
    if parts.fragment:
        raise ValueError("must not hold a fragment (#)")
    is_loopback = names_loopback(parts.hostname)
    if parts.scheme == "http" and not is_loopback:
        raise ValueError("must begin with https://: http is for loopback addresses only")
    return KeyUrl(
        scheme=parts.scheme,
        host=parts.hostname,
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        is_loopback=is_loopback,
    )


def names_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
