"""
Web pages that may read responses (Fetch standard, "CORS protocol"). Pure.

Credentials mode is never allowed, because the service sets no cookie and a page sends its token
itself. So the list of origins is not an access control: `curl` can send the same requests.
"""

import re
from collections.abc import Sequence

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


def allows(patterns: Sequence[str], origin: str) -> bool:
    """
    Return whether pages of an origin may read responses. `null` never may.

    Args:
        patterns: Exact origins, or origins with `:*` for any port or none.
    """
    return any(_matches(pattern, origin) for pattern in patterns)


def _matches(pattern: str, origin: str) -> bool:
    host = pattern.removesuffix(ANY_PORT)
    if host == pattern:
        return origin == pattern
    return origin.startswith(host) and _PORT.fullmatch(origin, len(host)) is not None


def response_fields(origin: str) -> tuple[tuple[str, str], ...]:
    """Return the fields of a response to a page of an allowed origin."""
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
