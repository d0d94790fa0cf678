"""Who calls: what a verified credential proves, and nothing that a request merely claims."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class UserCaller:
    """
    A signed-in user of the app, known by a verified token of an identity provider.

    Attributes:
        user_id: The Stream id, already mapped from the provider's subject.
        issuer: The configured name of the issuer that vouches for the user.
        signed_in_at: When the user signed in, epoch seconds on the issuer's clock.
        clock_ahead: Seconds by which the issuer's clock may run ahead of ours.
    """

    user_id: str
    issuer: str
    signed_in_at: int
    clock_ahead: int


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """
    The app's own backend, known by client credentials (RFC 6749 section 2.3).

    Attributes:
        client_id: `svc.…`; the dot can be in no user id.
        scopes: What the client may do.
        vouches: Whether its word counts as a fresh sign-in of any user that it names.
        secret_id: Which of its secrets it has shown; `None` for an operator at the command line.
    """

    client_id: str
    scopes: frozenset[str]
    vouches: bool
    secret_id: str | None = None


Caller: TypeAlias = UserCaller | ServiceCaller

Authorize: TypeAlias = Callable[[str], ServiceCaller]
"""Gives the service that the current request is from, if it has the scope; refuses otherwise."""

SignedIn: TypeAlias = Callable[[], UserCaller]
"""Gives the user that the current request is from, if nothing stands against them."""
