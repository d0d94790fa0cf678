"""Parameters of every action: a reason in the body, a dry run in the query."""

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
    """Query of an action."""

    dry_run: bool = False


class DeleteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of a deletion. DELETE has no body."""

    reason: Reason | None = None
