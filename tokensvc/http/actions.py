"""What the routes of all acts take: a reason in the body, and in the query whether in earnest."""

from typing import Annotated

import msgspec

from tokensvc.http.body import NO_NUL

Reason = Annotated[str, msgspec.Meta(max_length=500, pattern=NO_NUL)]


class ActionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Body of an action.

    Attributes:
        reason: Reason for the audit trail. It must not contain a secret or a token.
    """

    reason: Reason | None = None


class ActionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to do it, or only to say what would come of it."""

    dry_run: bool = False
