"""Accepted host names. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_MAX_NAME = 253
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")


class Hosts:
    """
    Host names of this service.

    Args:
        public_url: URL of the service. Its host and the loopback names are the default.
        configured: Names that replace the default.
    """

    def __init__(self, public_url: str, configured: Iterable[str]) -> None:
        default = (urlsplit(public_url).netloc, *LOOPBACK)
        self._names = {name_of(host) for host in tuple(configured) or default} - {None}
        # Bounded, because clients choose the keys.
        self.include = lru_cache(maxsize=256)(self._include)

    def _include(self, host: str) -> bool:
        """Return whether a Host field, with or without a port, names this service."""
        return name_of(host) in self._names


def check_name(name: str) -> str:
    """
    Return the name if it is a host name without a port.

    Raises:
        ValueError: It is not one.
    """
    if name_of(name) != name.lower():
        raise ValueError(f"{name!r} is not a host name: write it without scheme, port and path")
    return name


def name_of(host: str) -> str | None:
    """Return the name in a Host field, in lower case and without a port; `None` if malformed."""
    match = _HOST.fullmatch(host.lower())
    return match["name"] if match and len(match["name"]) <= _MAX_NAME else None
