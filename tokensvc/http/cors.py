"""
Web pages that may read responses (Fetch standard, "CORS protocol"). Pure.

Credentials mode is never allowed, because the service sets no cookie and a page sends its token
itself. So the list of origins is not an access control: `curl` can send the same requests.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

ANY_PORT = ":*"

EXPOSED = "Retry-After, WWW-Authenticate, X-Request-Id, RateLimit, RateLimit-Policy"
REQUEST_HEADERS = "Accept, Authorization, Content-Type"
PREFLIGHT_SECONDS = 600

_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")
# 10.0.2.2 is the host machine in Android's emulator.
_LOOPBACK_ANY_PORT = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]|10\.0\.2\.2):\*")
_PORT = re.compile(r"(?::[0-9]{1,5})?")
_MAX_ORIGIN = 300
"""Characters; a host name has at most 253."""


class Origins:
    """
    Origins that may read responses.

    Args:
        patterns: Exact origins, or origins with `:*` for any port or none.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._exact = frozenset(item for item in patterns if not item.endswith(ANY_PORT))
        self._any_port = tuple(
            item.removesuffix(ANY_PORT) for item in patterns if item.endswith(ANY_PORT)
        )
        # Bounded, because clients choose the keys.
        self.response_fields = lru_cache(maxsize=256)(self._response_fields)

    def allow(self, origin: str) -> bool:
        """Return whether the origin is listed. `null` never is."""
        return origin in self._exact or any(
            origin.startswith(prefix) and _PORT.fullmatch(origin, len(prefix)) is not None
            for prefix in self._any_port
        )

    def _response_fields(self, origin: str) -> tuple[tuple[str, str], ...]:
        """Return the fields of a response for this origin, none if it is not listed."""
        if not self.allow(origin):
            return ()
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED),
        )


def is_origin(text: str) -> bool:
    """Return whether a browser can send this as the origin of a page."""
    return len(text) <= _MAX_ORIGIN and (text == "null" or _ORIGIN.fullmatch(text) is not None)


def check_pattern(pattern: str) -> str:
    """
    Return the pattern if it is an origin.

    Raises:
        ValueError: It is `*` or `null`, has a path or a capital letter, or allows any port of a
            host that is not a loopback name.
    """
    if not (_ORIGIN.fullmatch(pattern) or _LOOPBACK_ANY_PORT.fullmatch(pattern)):
        raise ValueError(
            f"{pattern!r} is not an origin: write scheme://host or scheme://host:port in lower "
            "case (`:*` for any port only with localhost, 127.0.0.1, [::1] and 10.0.2.2)"
        )
    return pattern


def preflight_fields(methods: str) -> tuple[tuple[str, str], ...]:
    """Return the additional fields of the response to a preflight."""
    return (
        ("Access-Control-Allow-Methods", methods),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
    )
