"""
Under which rate limits a request counts, and the refusal beyond one. Pure.

Every request with a genuine credential counts for its caller, also if it is refused later. Only a
request whose credential is invalid counts for its address.
"""

from typing import Literal, TypeAlias

from tokensvc.core.callers import Caller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.rules import LimitState, Policy

RouteKind: TypeAlias = Literal["token", "sign_out", "other"]
"""`/v1/token`, `POST /v1/me/revocations`, and every other route."""

Limit: TypeAlias = tuple[Policy, str]
"""A policy, and the key that identifies the user, client or address."""

_REFUSED_CREDENTIALS: dict[Code, Policy] = {
    Code.CREDENTIALS_INVALID: "failures",
    Code.CREDENTIALS_EXPIRED: "expired",
    Code.USER_ID_INVALID: "mint",
}

_DETAILS: dict[Policy, str] = {
    "mint": "Too many requests for this user: wait, and keep a token until shortly before it "
    "expires.",
    "service": "Too many token requests of this client: wait, and keep tokens until shortly before "
    "they expire.",
    "manage": "Too many requests of this client: wait, then retry.",
    "sign_out": "Too many sign-outs of this user: wait, then retry.",
    "expired": "Too many requests with an expired credential: renew it, then retry.",
    "failures": "Too many failed authentications from this address: wait, then send a valid "
    "credential.",
}


def limits_of(caller: Caller, route: RouteKind, user_id: str | None = None) -> tuple[Limit, ...]:
    """
    Return the limits of an authenticated caller's request, the caller's own first.

    Args:
        caller: Authenticated caller.
        route: Kind of route.
        user_id: Legal ID of the user for whom a service requests a token.
    """
    if isinstance(caller, UserCaller):
        return (("sign_out" if route == "sign_out" else "mint", caller.user_id),)
    if route != "token":
        return (("manage", caller.client_id),)
    own: Limit = ("service", caller.client_id)
    return (own,) if user_id is None else (own, ("mint", user_id))


def limit_of_refused(refusal: Refusal, address: str) -> Limit | None:
    """
    Return the limit of a request whose credential was refused; `None` after an outage.

    Expired credentials have a limit of their own: with a leaked old token, anyone could use up the
    limit of its user.
    """
    policy = _REFUSED_CREDENTIALS.get(refusal.code)
    return None if policy is None else (policy, refusal.owner or address)


def too_many_requests(state: LimitState) -> Refusal:
    """Return the refusal of a request beyond a limit."""
    return Refusal(
        Code.RATE_LIMITED,
        _DETAILS[state.policy],
        reason=f"limits.{state.policy}",
        retry_after=state.reset_after,
    )
