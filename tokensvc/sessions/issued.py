"""What a client gets for a session: its tokens, in the response of a sign-in or `/oauth/token`."""

import secrets
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.access_tokens.tokens import AccessTokens, MintedAccessToken
from tokensvc.sessions.refresh_tokens import FAMILY_ID_BYTES, FAMILY_KEY_BYTES
from tokensvc.sessions.rules import Family, Origin
from tokensvc.standing.rules import Epochs, RingVersion


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """
    A session with its current refresh token.

    Attributes:
        now: Time of the request in epoch seconds of the database's clock.
        ring_version: Version of the ring of signing keys at that time.
    """

    family: Family
    refresh_token: str = field(repr=False)
    now: float
    ring_version: RingVersion


class TokenResponse(msgspec.Struct, frozen=True):
    """
    Tokens of a client (RFC 6749 section 5.1).

    Attributes:
        access_token: Token that the client sends as `Authorization: Bearer`.
        token_type: Always `Bearer`.
        expires_in: Seconds for which the access token is valid.
        refresh_token: Token for the next refresh. It replaces the previous one. Only for a user.
        scope: Scopes of the access token, separated by spaces. Only for a service.
    """

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET

    def __repr__(self) -> str:
        """Leave out the tokens."""
        return f"{type(self).__name__}(expires_in={self.expires_in!r}, scope={self.scope!r})"


def new_family(
    user_id: str, client_id: str, epochs: Epochs, now: float, origin: Origin
) -> tuple[Family, bytes]:
    """
    Return the family of a new session, and its key.

    Args:
        epochs: Epochs as read before the password was checked.
        origin: Address of the sign-in.
    """
    family = Family(
        id=secrets.token_bytes(FAMILY_ID_BYTES).hex(),
        user_id=user_id,
        client_id=client_id,
        counter=0,
        rotated_at=None,
        created_at=now,
        last_used_at=now,
        epochs=epochs,
        ended_at=None,
        rotated_from=origin,
    )
    return family, secrets.token_bytes(FAMILY_KEY_BYTES)


def issued_session(
    family: Family, key: bytes, now: float, ring_version: RingVersion
) -> IssuedSession:
    """
    Return a session with its current refresh token.

    Args:
        key: Family key, which proves the token.
        now: Epoch seconds of the database's clock.
    """
    token = refresh_tokens.make(bytes.fromhex(family.id), family.counter, key)
    return IssuedSession(family, token, now, ring_version)


def user_response(issued: IssuedSession, access_tokens: AccessTokens) -> TokenResponse:
    """
    Return the tokens of a session, with a new access token.

    Raises:
        Refusal: `temporarily_unavailable`: this process has no key to sign with.
    """
    minted = access_tokens.mint_for_user(
        issued.family, now=issued.now, ring_version=issued.ring_version
    )
    return _response(minted, refresh_token=issued.refresh_token)


def service_response(minted: MintedAccessToken, scopes: frozenset[str]) -> TokenResponse:
    """Return the access token of a service, which has no refresh token (RFC 6749 4.4.3)."""
    return _response(minted, scope=" ".join(sorted(scopes)))


def _response(
    minted: MintedAccessToken,
    *,
    refresh_token: str | UnsetType = UNSET,
    scope: str | UnsetType = UNSET,
) -> TokenResponse:
    return TokenResponse(
        access_token=minted.token,
        token_type="Bearer",  # noqa: S106 - the type of tokens, not a token
        expires_in=minted.expires_in,
        refresh_token=refresh_token,
        scope=scope,
    )
