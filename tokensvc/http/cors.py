"""
Which web pages may read our answers (the Fetch standard, "CORS protocol"). Pure.

No credentials mode is ever allowed: the service sets no cookie, and a page that has a token may
send it. So a page that is not listed gains nothing that its own `curl` could not get.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

ANY_PORT = ":*"

EXPOSED = "Retry-After, WWW-Authenticate, X-Request-Id, RateLimit, RateLimit-Policy"
REQUEST_HEADERS = "Accept, Authorization, Content-Type"
PREFLIGHT_SECONDS = 600

_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")
# 10.0.2.2 is what Android's emulator calls the machine that it runs on.
_LOOPBACK_ANY_PORT = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]|10\.0\.2\.2):\*")
_PORT = re.compile(r"(?::[0-9]{1,5})?")


class Origins:
    """
    The origins that may read answers.

    Args:
        patterns: Exact origins, or with `:*` for any port or none.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._exact = frozenset(item for item in patterns if not item.endswith(ANY_PORT))
        self._any_port = tuple(
            item.removesuffix(ANY_PORT) for item in patterns if item.endswith(ANY_PORT)
        )
        # Bounded: what strangers send must not grow it.
        self.answer_fields = lru_cache(maxsize=256)(self._answer_fields)

    def allow(self, origin: str) -> bool:
        """Tell whether the origin is listed; `null` never is."""
        return origin in self._exact or any(
            origin.startswith(prefix) and _PORT.fullmatch(origin, len(prefix)) is not None
            for prefix in self._any_port
        )

    def _answer_fields(self, origin: str | None) -> tuple[tuple[str, str], ...]:
        """Give the fields of an answer that a page of this origin may read; none otherwise."""
        if origin is None or not self.allow(origin):
            return ()
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED),
        )


def check_pattern(pattern: str) -> str:
    """
    Return the pattern when it is an origin.

    Raises:
        ValueError: It is `*`, `null`, has a path or a capital letter, or leaves the port open on
            another host than a developer's own machine.
    """
    if not (_ORIGIN.fullmatch(pattern) or _LOOPBACK_ANY_PORT.fullmatch(pattern)):
        raise ValueError(
            f"{pattern!r} is no origin: write scheme://host or scheme://host:port in lower case "
            "(any port, `:*`, only for localhost, 127.0.0.1, [::1] and 10.0.2.2)"
        )
    return pattern


def preflight_fields(methods: str) -> tuple[tuple[str, str], ...]:
    """Give the further fields of the answer to a preflight."""
    return (
        ("Access-Control-Allow-Methods", methods),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
    )
