"""Authenticated callers: what a verified credential proves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class UserCaller:
    """
    A signed-in user of the app, authenticated by a token of an identity provider.

    Attributes:
        user_id: User ID on Stream, mapped from the provider's subject.
        issuer: Configured name of the issuer.
        signed_in_at: Time of the sign-in, epoch seconds on the issuer's clock.
        clock_ahead: Seconds by which the issuer's clock may be ahead.
    """

    user_id: str
    issuer: str
    signed_in_at: int
    clock_ahead: int


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """
    A backend of the app, authenticated by client credentials (RFC 6749 section 2.3).

    Attributes:
        client_id: ID `svc.…`; no user ID can contain the dot.
        scopes: Scopes of the client.
        vouches: Whether it confirms sign-ins itself: each of its mints counts as a new sign-in.
        secret_id: ID of the secret that it used; `None` for an operator at the command line.
    """

    client_id: str
    scopes: frozenset[str]
    vouches: bool
    secret_id: str | None = None


Caller: TypeAlias = UserCaller | ServiceCaller

Authorize: TypeAlias = Callable[[str], ServiceCaller]
"""Returns the service of the current request if it has the scope; else raises a refusal."""

SignedIn: TypeAlias = Callable[[], UserCaller]
"""Returns the user of the current request unless their standing refuses them."""
