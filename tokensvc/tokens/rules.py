"""
The decision: may this caller have a token, for whom, signed by which key, and for how long.

Pure: everything that it depends on is an argument. The order of the refusals is the contract's.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tokensvc.callers.rules import AUTH_TIME_AHEAD, check_standing
from tokensvc.core import stream_user, user_ids
from tokensvc.core.callers import Caller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.keys.rules import StreamKey, StreamKeyRing
from tokensvc.standing import rules as standing_rules
from tokensvc.standing.rules import Standing
from tokensvc.tokens.settings import MIN_TTL, TokenSettings

MINT_SCOPE = "tokens:mint"


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
            may set.
    """

    user: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """
    The evidence that a token may be signed. Made by `authorize` alone, and only a permit is signed.

    Attributes:
        user_id: Legal and not empty: without `user_id` a token is an admin token on Stream.
        key: The Stream key that signs.
        now: Epoch seconds at which the standing was read.
        issued_at: The `iat`, epoch seconds, never after `now`.
        expires_at: The `exp`, epoch seconds.
    """

    user_id: str
    key: StreamKey
    now: int
    issued_at: int
    expires_at: int


def subject_of(request: TokenRequest, caller: Caller, alphabet: user_ids.Alphabet) -> str:
    """
    Give the user id that a token would be for, to read its standing.

    The scope is looked at here, before the standing: a client that may not mint shall not learn
    from the refusal who is suspended.

    Raises:
        Refusal: `malformed_request`, `insufficient_scope` or `user_id_invalid`.
    """
    if isinstance(caller, UserCaller):
        if request.auth_time is not None:
            raise Refusal(
                Code.MALFORMED_REQUEST, "Only a service may state `auth_time`: leave it out."
            )
        return caller.user_id
    if MINT_SCOPE not in caller.scopes:
        raise Refusal(Code.INSUFFICIENT_SCOPE, f"This client needs the scope {MINT_SCOPE}.")
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
        request: What is asked for.
        caller: Who asks, verified.
        user_id: Whom the token is for, from `subject_of`.
        standing: Read after the caller was verified.
        ring: At least as new as `standing.ring_version`.
        settings: The policy.
        jitter: Random, 0 to 1.

    Raises:
        Refusal: The first that applies, in the contract's order.
    """
    check_standing(caller, standing, request.auth_time)
    _check_request(request, user_id)
    key = _signing_key(request, ring, settings)
    issued_at = standing_rules.issued_at(standing, settings.skew)
    if issued_at is None:
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "A revocation takes effect this very second: ask again in a second.",
            reason="cut-off ahead",
            retry_after=1,
        )
    return Permit(
        user_id=user_id,
        key=key,
        now=standing.now,
        issued_at=issued_at,
        expires_at=standing.now + _lifetime(request.ttl, settings, jitter),
    )


def check_auth_time(request: TokenRequest, now: float) -> None:
    """
    Refuse a sign-in that lies in the future, which would outlast a revocation yet to come.

    Raises:
        Refusal: `malformed_request`.
    """
    if request.auth_time is not None and request.auth_time > now + AUTH_TIME_AHEAD:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"`auth_time` lies over {AUTH_TIME_AHEAD} s ahead of this service's clock: "
            "send when the user signed in, in epoch seconds.",
        )


def _check_request(request: TokenRequest, user_id: str) -> None:
    if request.user_id is not None and request.user_id != user_id:
        raise Refusal(
            Code.USER_ID_MISMATCH,
            "`user_id` is not the user of this credential: leave it out, "
            "or ask GET /v1/me for the id.",
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
