"""Rules of revocations: cut-offs, undo and what ends a refusal. Pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from tokensvc.core.actions import Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RevocationKind

PROVIDER_PREFIX: Final = "issuer:"
"""Begins the actor of an identity provider's event, before the name of the issuer."""


class HoldsUntil(StrEnum):
    """
    Event that ends the refusals: a new sign-in, the provider's next token, or reinstatement.

    Nothing ends those of an erased user.
    """

    NEXT_SIGN_IN = "next_sign_in"
    NEXT_TOKEN = "next_token"  # noqa: S105 - a provider's silent renewal passes
    REINSTATEMENT = "reinstatement"
    NEVER = "never"


class Revocation(msgspec.Struct, frozen=True):
    """
    A revocation or suspension in effect.

    Attributes:
        id: ID of the revocation, for undoing it.
        created_at: Time of the action, in epoch seconds.
        tokens_valid_after: Cut-off that the action set, in epoch seconds.
        kind: Kind of the action.
    """

    id: str
    created_at: int
    tokens_valid_after: int
    kind: RevocationKind


class StoredRevocation(Revocation, frozen=True):
    """
    A revocation as it is stored, in effect or undone.

    Attributes:
        confirmed: Whether its cut-off was compared with the clock after its commit.
        undone: Whether an undo ended it.
    """

    confirmed: bool
    undone: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """
    A source of user IDs.

    Attributes:
        prefix: Prefix of the IDs.
        by_issue_time: Whether its tokens contain only their issue time, not the sign-in time.
    """

    prefix: str
    by_issue_time: bool


def takes_over(suspended_by: str | None, actor: str) -> bool:
    """
    Return whether a suspension by an actor replaces the one in effect.

    A provider can end its own suspension. An operator's must last until an operator ends it, also
    if the provider was first. A provider that disables a user again has enabled the user in
    between: that event, received late, must not end the new suspension.
    """
    by_provider = suspended_by is not None and suspended_by.startswith(PROVIDER_PREFIX)
    return by_provider and (actor == suspended_by or not actor.startswith(PROVIDER_PREFIX))


def cut_off_of(revocations: Iterable[StoredRevocation]) -> int | None:
    """Return the cut-off in effect: the highest of the revocations that are not undone."""
    return max(
        (revocation.tokens_valid_after for revocation in revocations if not revocation.undone),
        default=None,
    )


def latest(revocations: Iterable[StoredRevocation]) -> StoredRevocation | None:
    """Return the latest revocation in effect."""
    in_effect = (revocation for revocation in revocations if not revocation.undone)
    return max(in_effect, key=lambda revocation: revocation.id, default=None)


def reason_of(revocations: Iterable[StoredRevocation], *, suspended: bool) -> str | None:
    """Return the reason of the suspension while suspended, else of the latest revocation."""
    found = latest(
        revocation
        for revocation in revocations
        if revocation.kind is RevocationKind.SUSPENSION or not suspended
    )
    return found.reason if found is not None else None


def revocation_to_undo(
    revocations: Sequence[StoredRevocation], revocation_id: str, *, suspended: bool
) -> StoredRevocation | None:
    """
    Return the revocation that an undo ends, or `None` if it is already undone.

    Raises:
        Refusal: `not_found`, `superseded`, or `user_suspended` with status 409.
    """
    found = next((row for row in revocations if row.id == revocation_id), None)
    if found is None:
        raise Refusal(
            Code.NOT_FOUND,
            "This revocation was not found. The state of the user or app names the latest one.",
        )
    if found.undone:
        return None
    if suspended:
        raise Refusal(
            Code.USER_SUSPENDED, "The user is suspended: reinstate them first.", status=409
        )
    if found is not latest(revocations):
        raise Refusal(
            Code.SUPERSEDED, "A later revocation is in effect. Undo that one: the state names it."
        )
    return found


def holds_until(target: Target, sources: Iterable[Source], *, suspended: bool) -> HoldsUntil:
    """
    Return what ends a refusal. If the target can come from several sources, the weakest decides.

    Args:
        sources: All sources of user IDs.
        suspended: Whether the target is suspended.
    """
    if suspended:
        return HoldsUntil.REINSTATEMENT
    user_id = target.user_id
    is_weak = any(
        source.by_issue_time
        for source in sources
        if user_id is None or user_id.startswith(source.prefix)
    )
    return HoldsUntil.NEXT_TOKEN if is_weak else HoldsUntil.NEXT_SIGN_IN
