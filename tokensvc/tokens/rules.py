"""
The decision: whether this caller gets a token, for which user, with which key and lifetime. Pure.

The order of the refusals is that of `docs/life-of-a-token-request.md`.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tokensvc.callers.rules import check_standing
from tokensvc.core import stream_user, user_ids
from tokensvc.core.callers import Caller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.scopes import Scope
from tokensvc.standing import rules as standing_rules
from tokensvc.standing.rules import Standing
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.tokens.settings import MIN_TTL, TokenSettings


class TokenQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Parameters of a token request without a user object. They prove nothing.

    Attributes:
        user_id: ID of the user on Stream. A service must send it. For a user it is only
            compared, and another user's ID gets 403.
        auth_time: Time of the sign-in in the service's own session, in epoch seconds. Only a
            service may send it.
        api_key: Stream API key that the client was built with. Default: the active key.
        ttl: Lifetime of the token in seconds. It can only shorten the configured lifetime.
    """

    user_id: str | None = None
    auth_time: Annotated[int, msgspec.Meta(ge=0)] | None = None
    api_key: str | None = None
    ttl: Annotated[int, msgspec.Meta(ge=MIN_TTL)] | None = None


class TokenRequest(TokenQuery, frozen=True, forbid_unknown_fields=True):
    """
    Body of a token request. It proves nothing.

    Attributes:
        user: User object for `connectUser`, returned after the checks that Stream would make. `id`
            must be the user's own. At most 5,119 bytes of JSON, without members that only a server
            may set. A member's name has 1 to 64 of `A-Z a-z 0-9 _ -` and does not differ from
            another member that has a meaning only in case, `_` or `-`.
    """

    user: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """
    Proof that a token may be signed. Only `authorize` makes one, and only a permit is signed.

    Attributes:
        user_id: Legal user ID, not empty: without `user_id` a token is an admin token on Stream.
        key: Stream key that signs.
        now: Epoch seconds at which the standing was read.
        issued_at: `iat`, epoch seconds, never after `now`.
        expires_at: `exp`, epoch seconds.
        user: The checked user object, for the response only.
    """

    user_id: str
    key: StreamKey
    now: int
    issued_at: int
    expires_at: int
    user: dict[str, Any] | None


def token_user_id(request: TokenRequest, caller: Caller, alphabet: user_ids.Alphabet) -> str:
    """
    Return the ID of the user that the token is for.

    Checks the scope before the standing is read: a client that may not mint must not learn from
    the refusal which users are suspended.

    Raises:
        Refusal: `malformed_request`, `insufficient_scope` or `user_id_invalid`.
    """
    if isinstance(caller, UserCaller):
        if request.auth_time is not None:
            raise Refusal(
                Code.MALFORMED_REQUEST, "Only a service may send `auth_time`: leave it out."
            )
        return caller.user_id
    if Scope.TOKENS_MINT not in caller.scopes:
        raise Refusal(Code.INSUFFICIENT_SCOPE, f"This client needs the scope {Scope.TOKENS_MINT}.")
    if request.user_id is None:
        raise Refusal(Code.MALFORMED_REQUEST, "A service must name the user: send `user_id`.")
    return user_ids.check(request.user_id, alphabet)


def authorize(
    *,
    request: TokenRequest,
    caller: Caller,
    user_id: str,
    standing: Standing,
    ring: StreamKeyRing,
    settings: TokenSettings,
    jitter: float,
) -> Permit:
    """
    Decide whether a token may be minted.

    Args:
        request: Parsed request.
        caller: Authenticated caller.
        user_id: User ID from `token_user_id`.
        standing: Standing of that user, read after the caller was authenticated.
        ring: Key ring of the version `standing.ring_version`.
        settings: Lifetime, skew and whether a key must be named.
        jitter: Random number from 0 to 1.

    Raises:
        Refusal: The first that applies (`docs/life-of-a-token-request.md`).
    """
    check_standing(caller, standing, request.auth_time)
    if standing.has_account is False:
        raise Refusal(
            Code.USER_ID_INVALID,
            "User IDs with this prefix (`accounts.user_id_prefix`) are for accounts, and this one "
            "has none: a user could sign up with it. Use an ID without the prefix, or invite the "
            "user first.",
        )
    _check_request(request, user_id)
    key = _signing_key(request, ring, settings)
    issued_at = standing_rules.issued_at(standing, settings.skew)
    if issued_at is None:
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "A revocation is taking effect: retry in 1 s.",
            retry_after=1,
        )
    return Permit(
        user_id=user_id,
        key=key,
        now=standing.now,
        issued_at=issued_at,
        expires_at=standing.now + _lifetime(request.ttl, settings, jitter),
        user=request.user,
    )


def _check_request(request: TokenRequest, user_id: str) -> None:
    if request.user_id is not None and request.user_id != user_id:
        raise Refusal(
            Code.USER_ID_MISMATCH,
            "`user_id` is not the user of this credential: leave it out, or get the ID from "
            "GET /v1/me.",
        )
    if request.user is not None:
        stream_user.check(request.user, user_id)


def _signing_key(request: TokenRequest, ring: StreamKeyRing, settings: TokenSettings) -> StreamKey:
    if request.api_key is not None:
        key = ring.named(request.api_key)
        if key is None:
            raise Refusal(
                Code.API_KEY_UNKNOWN,
                "`api_key` is unknown or retired: build the client with a key that is in use.",
            )
        return key
    if settings.api_key == "required":
        raise Refusal(
            Code.API_KEY_REQUIRED, "Send `api_key`: the key that the Stream client was built with."
        )
    if ring.active is None:
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "No Stream key is active.",
            reason="no active Stream key",
            retry_after=30,
        )
    return ring.active


def _lifetime(requested: int | None, settings: TokenSettings, jitter: float) -> int:
    if requested is not None:
        return min(requested, settings.ttl)
    return max(MIN_TTL, settings.ttl - int(settings.ttl * settings.jitter * jitter))
