"""The URLs from which keys may be fetched, judged by their text alone. Pure."""

import ipaddress
import re
from urllib.parse import urlsplit

_PRINTABLE = re.compile(r"[!-~]+")


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
