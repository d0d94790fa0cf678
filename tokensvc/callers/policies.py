"""
Under which rate limits a request counts. Pure.

Every request with a genuine credential counts for its caller, also if it is refused later. Only a
request whose credential is invalid, or that is malformed before it is verified, counts for its
address.
"""

from typing import Literal, TypeAlias

from tokensvc.core.callers import Caller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.rules import Policy

RouteKind: TypeAlias = Literal["token", "sign_out", "other"]
"""`/v1/token`, `POST /v1/me/revocations`, and every other route."""

Limit: TypeAlias = tuple[Policy, str]
"""A policy, and the key that identifies the user, client or address."""

MALFORMED = frozenset({Code.MALFORMED_REQUEST, Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE})
WITH_CREDENTIALS = ("/v1/", "/oauth/")
"""Beginnings of the paths of all routes that need a credential or give one."""

_REFUSED_CREDENTIALS: dict[Code, Policy] = {
    Code.CREDENTIALS_INVALID: "failures",
    Code.CREDENTIALS_EXPIRED: "expired",
    Code.USER_ID_INVALID: "mint",
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
