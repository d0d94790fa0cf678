"""
Fields of the current request's log line, and its `RateLimit` fields.

The application writes both when the response is known; other packages add what they learned.
"""

from typing import Any

from tokensvc.http import current_request


def note(**fields: Any) -> None:
    """
    Add verified facts to the log line, such as caller, user and key.

    Outside a request, as in a command, this does nothing.
    """
    request = current_request.get(None)
    if request is not None:
        request.notes.update(fields)


def note_caller(**fields: Any) -> None:
    """Add who the verified caller is, as `note` does."""
    request = current_request.get(None)
    if request is not None:
        request.notes.update(fields)
        request.is_authenticated = True


def set_rate_limit_fields(policy: str, limit: str) -> None:
    """Send `RateLimit-Policy` and `RateLimit` with the response, also if it is a refusal."""
    request = current_request.get(None)
    if request is not None:
        request.rate_limit = (policy, limit)
