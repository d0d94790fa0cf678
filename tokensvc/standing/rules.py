"""Whom a cut-off covers, and when a token may say that it was issued. Pure functions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """
    One read of a user's and the app's standing.

    Attributes:
        now: Epoch seconds, read before or in the statement that read the rest. A later reading
            would let a token outlive a cut-off that was set in between.
        suspended: No token at all, whatever the credential.
        tokens_valid_after: The cut-off that stands, the higher of the user's and the app's;
            `None` when none does.
        floor: The highest cut-off ever set for the user or the app. Undo does not lower it.
        ring_version: The version of the ring of Stream keys at that moment.
    """

    now: int
    suspended: bool
    tokens_valid_after: int | None
    floor: int
    ring_version: int


def sign_in_after(standing: Standing, clock_ahead: int) -> int | None:
    """
    Give the earliest sign-in that a cut-off does not cover, or `None` while none stands.

    A clock that may run ahead of ours stamps a sign-in from before the cut-off later than it was;
    in doubt the sign-in is covered.
    """
    if standing.tokens_valid_after is None:
        return None
    return standing.tokens_valid_after + clock_ahead


def issued_at(standing: Standing, skew: int) -> int | None:
    """
    Give the `iat` of a token minted now, or `None` while the cut-off still lies ahead.

    Back-dated by `skew`, since Stream refuses a token from the future with code 42, which is fatal
    to its JavaScript client; never before `floor`, since Stream would refuse that with code 40 and
    the client would ask again in a loop.
    """
    if standing.floor > standing.now:
        return None
    return max(standing.now - skew, standing.floor)
