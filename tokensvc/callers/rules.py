"""
The limits of a request, and the refusals because of the standing, the same on every route. Pure.

Every request with a genuine credential counts for its caller, also if it is refused later. Only a
request whose credential is invalid, or that is malformed before it is verified, counts for its
address.
"""

from typing import Literal, TypeAlias

from tokensvc.core.callers import Caller, ServiceCaller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.rules import check_sign_in_time
from tokensvc.limits.rules import Policy
from tokensvc.standing import rules as standing_rules
from tokensvc.standing.rules import Standing

RouteKind: TypeAlias = Literal["token", "sign_out", "other"]
"""`/v1/token`, `POST /v1/me/revocations`, and every other route."""

Limit: TypeAlias = tuple[Policy, str]
"""A policy, and the key that identifies the user, client or address."""

MALFORMED = frozenset({Code.MALFORMED_REQUEST, Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE})
WITH_CREDENTIALS = ("/v1/", "/oauth/")
"""Beginnings of the paths of all routes that need a credential or give one."""

AUTH_TIME_AHEAD = 2
"""Seconds by which the clock of the app's backend may run ahead."""

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


def check_standing(caller: Caller, standing: Standing, auth_time: int | None = None) -> None:
    """
    Refuse a sign-in from the future, a suspended user, or a sign-in from before a cut-off.

    Args:
        caller: Authenticated caller.
        standing: Standing of the user that the request is about, read after authentication.
        auth_time: Time at which a service's own session signed the user in, epoch seconds.

    Raises:
        Refusal: `credentials_invalid` or `malformed_request`, then `user_erased` or
            `user_suspended`, then `sign_in_required`.
    """
    if isinstance(caller, ServiceCaller):
        _check_auth_time(auth_time, standing.now)
    elif caller.session is None:
        check_sign_in_time(caller.signed_in_at, caller.clock_ahead, standing.now)
    if standing.suspended:
        if standing.erased:
            raise standing_rules.user_erased()
        raise Refusal(
            Code.USER_SUSPENDED, "This user is suspended. Sign the user out; do not retry."
        )
    if isinstance(caller, ServiceCaller):
        if caller.vouches:
            return
        _check_sign_in_time(standing, auth_time, AUTH_TIME_AHEAD)
    elif caller.session is None:  # a session ends by its epochs, not by a time
        _check_sign_in_time(standing, caller.signed_in_at, caller.clock_ahead)
        if standing.session_has_ended:
            raise session_ended()


def session_ended() -> Refusal:
    """Return the refusal of an access token whose session has ended: any new sign-in will do."""
    return Refusal(
        Code.SIGN_IN_REQUIRED,
        "The session has ended: sign the user in again.",
        reason="session ended",
        members={"sign_in_after": None},
        max_age=0,
    )


def _check_auth_time(auth_time: int | None, now: int) -> None:
    """Refuse a sign-in time in the future, which a later revocation would not cover."""
    if auth_time is not None and auth_time > now + AUTH_TIME_AHEAD:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"`auth_time` is over {AUTH_TIME_AHEAD} s in the future: send the time of the user's "
            "sign-in in epoch seconds.",
        )


def _check_sign_in_time(standing: Standing, signed_in_at: int | None, clock_ahead: int) -> None:
    threshold = standing_rules.sign_in_after(standing, clock_ahead)
    if threshold is None or (signed_in_at is not None and signed_in_at >= threshold):
        return
    if signed_in_at is None:
        detail = (
            "This user's sign-ins were revoked. Send `auth_time`: the epoch seconds at which your "
            "own session signed the user in. It must be after the revocation."
        )
    else:
        detail = "The user signed in before a revocation: sign them in again, then retry."
    raise Refusal(
        Code.SIGN_IN_REQUIRED,
        detail,
        members={"sign_in_after": threshold},
        max_age=max(0, standing.now - threshold),
    )
