"""
Parameters that many routes have.

Actions have a reason in the body and a dry run in the query. Lists have pages:
`{"items": […], "next": cursor}`. `Prefer: wait=…` (RFC 7240) is the time that a client waits for a
delivery.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from tokensvc.core import current_request
from tokensvc.http.body import NO_NUL

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

MAX_WAIT = 10
"""Seconds. The request occupies a thread during the wait."""

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*([0-9]{1,4})\s*(?:,|;|$)", re.IGNORECASE)

_Item = TypeVar("_Item")

Reason = Annotated[str, msgspec.Meta(max_length=500, pattern=NO_NUL)]


class ActionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Body of an action.

    Attributes:
        reason: Reason for the audit trail. It must not contain a secret or a token.
    """

    reason: Reason | None = None


class ActionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of an action."""

    dry_run: bool = False


class DeleteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of a deletion. DELETE has no body."""

    reason: Reason | None = None


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Query of a page of a list.

    Attributes:
        limit: Maximum number of items.
        after: Cursor from the previous page.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    after: Annotated[str, msgspec.Meta(pattern=NO_NUL)] | None = None


def page_of(items: Sequence[_Item], limit: int, cursor: Callable[[_Item], str]) -> dict[str, Any]:
    """
    Return the body of a page.

    Args:
        items: Up to `limit` + 1 items; the additional one shows that another page follows.
        limit: Maximum number of items.
        cursor: Function that returns the cursor of an item.
    """
    shown = items[:limit]
    more = len(items) > limit
    return {"items": shown, "next": cursor(shown[-1]) if more else None}


def preferred_wait() -> int:
    """Return the requested seconds, 0 without a preference."""
    found = _WAIT.search(current_request.get().environ.get("HTTP_PREFER", ""))
    return min(int(found[1]), MAX_WAIT) if found is not None else 0
