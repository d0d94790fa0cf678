"""Callers: the credential that a request has, unverified, and what it proves when verified."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tokensvc.core.errors import Code, Refusal


@dataclass(frozen=True, slots=True)
class BearerCredential:
    """An unverified token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BasicCredential:
    """
    An unverified client ID and secret.

    Attributes:
        decoded_secret: The secret without its form encoding, if that may be one.
    """

    client_id: str
    secret: str = field(repr=False)
    decoded_secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The readings of the secret."""
        return (self.secret,) if self.decoded_secret is None else (self.secret, self.decoded_secret)


Credential: TypeAlias = BearerCredential | BasicCredential


@dataclass(frozen=True, slots=True)
class SessionRef:
    """
    The session of a user who signed in here.

    Attributes:
        id: ID of the session, `sid` in its access tokens.
        client_id: OAuth client that signed in.
    """

    id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class UserCaller:
    """
    A signed-in user, authenticated by a token of an identity provider or by an access token.

    Attributes:
        user_id: User ID on Stream, mapped from the provider's subject.
        issuer: Configured name of the issuer.
        signed_in_at: Time of the sign-in, epoch seconds on the issuer's clock.
        clock_ahead: Seconds by which the issuer's clock may be ahead.
        session: The session of a built-in account; `None` for a user of an identity provider.
        provider_session: Key of the session at the provider; `None` if a logout there ends no
            single session.
    """

    user_id: str
    issuer: str
    signed_in_at: int
    clock_ahead: int
    session: SessionRef | None = None
    provider_session: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """
    A backend of the app, authenticated by client credentials (RFC 6749 section 2.3).

    Attributes:
        client_id: ID `svc.…`; no user ID can contain the dot.
        scopes: Scopes of the client.
        vouches: Whether it confirms sign-ins itself: each of its mints counts as a new sign-in.
        secret_id: ID of the secret that it used; `None` for an operator at the command line.
        secret_expires_at: Time when that secret expires, in epoch seconds; `None`: never.
        token_scopes: Scopes of the access token that it sent; `None` if it sent its secret.
    """

    client_id: str
    scopes: frozenset[str]
    vouches: bool
    secret_id: str | None = None
    secret_expires_at: int | None = None
    token_scopes: frozenset[str] | None = None


Caller: TypeAlias = UserCaller | ServiceCaller

Authorize: TypeAlias = Callable[[str], ServiceCaller]
"""Returns the service of the current request if it has the scope; else raises a refusal."""

SignedIn: TypeAlias = Callable[[], UserCaller]
"""Returns the user of the current request unless their standing refuses them."""


def require_scope(service: ServiceCaller, scope: str, purpose: str) -> None:
    """
    Refuse a service without a scope that it needs in addition to that of the route.

    Args:
        purpose: What needs the scope: the beginning of the detail.

    Raises:
        Refusal: `insufficient_scope`.
    """
    if scope not in service.scopes:
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            f"{purpose} needs the scope {scope} in addition to the route's.",
            reason=f"scope {scope} is missing",
        )


def require_session(caller: UserCaller) -> SessionRef:
    """
    Return the session of a user who signed in here.

    Raises:
        Refusal: `insufficient_scope` for a user of an identity provider.
    """
    if caller.session is None:
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            "This route is only for built-in accounts: use the identity provider instead.",
        )
    return caller.session
