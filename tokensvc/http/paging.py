"""Lists: `{"items": […], "next": cursor}`, a page at a time."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from tokensvc.http.body import NO_NUL

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

_Item = TypeVar("_Item")


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which page of a list.

    Attributes:
        limit: Items at most.
        after: The cursor that the page before gave.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    after: Annotated[str, msgspec.Meta(pattern=NO_NUL)] | None = None


def page_of(items: Sequence[_Item], limit: int, cursor: Callable[[_Item], str]) -> dict[str, Any]:
    """
    Give a page as it is answered.

    Args:
        items: One more than `limit`, if there are that many: it tells whether there is more.
        limit: Items at most.
        cursor: Gives what the next page begins after.
    """
    shown = items[:limit]
    more = len(items) > limit
    return {"items": shown, "next": cursor(shown[-1]) if more else None}
