"""`Prefer: wait=…` (RFC 7240): how long a client would rather wait than be told "pending"."""

import re

from tokensvc.http import exchange

MAX_WAIT = 10
"""Seconds; a thread is held meanwhile."""

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*([0-9]{1,4})\s*(?:,|;|$)", re.IGNORECASE)


def preferred_wait() -> int:
    """Give the seconds that the client would wait; 0 when it says nothing."""
    found = _WAIT.search(exchange.current().environ.get("HTTP_PREFER", ""))
    return min(int(found[1]), MAX_WAIT) if found is not None else 0
