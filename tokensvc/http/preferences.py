"""`Prefer: wait=…` (RFC 7240): seconds that a client waits for a delivery."""

import re

from tokensvc.core import current_request

MAX_WAIT = 10
"""Seconds. The request occupies a thread during the wait."""

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*([0-9]{1,4})\s*(?:,|;|$)", re.IGNORECASE)


def preferred_wait() -> int:
    """Return the requested seconds, 0 without a preference."""
    found = _WAIT.search(current_request.get().environ.get("HTTP_PREFER", ""))
    return min(int(found[1]), MAX_WAIT) if found is not None else 0
