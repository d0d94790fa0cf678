"""Pages of lists: `{"items": […], "next": cursor}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from tokensvc.http.body import NO_NUL

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

_Item = TypeVar("_Item")


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
