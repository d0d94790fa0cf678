"""
What a request leaves behind beside its answer: its one log line, and its `RateLimit` fields.

Both are written by the application when the answer is known; others only say what they learned.
"""

from typing import Any

from tokensvc.http import exchange


def note(**fields: Any) -> None:
    """
    Add fields to the line, verified facts only: who asked, for whom, with which key.

    A command mints outside of any request: then there is no line.
    """
    request = exchange.current(None)
    if request is not None:
        request.notes.update(fields)


def set_rate_limit_fields(policy: str, limit: str) -> None:
    """Send `RateLimit-Policy` and `RateLimit` with the answer, whatever it will be."""
    request = exchange.current(None)
    if request is not None:
        request.rate_limit = (policy, limit)
