"""Refuse a request beyond a limit, and show the state of the limit in its response."""

from tokensvc.core.current_request import set_rate_limit_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.rules import LimitState, Policy
from tokensvc.telemetry import metrics

_DETAILS: dict[Policy, str] = {
    "mint": "Too many requests for this user: wait, and keep a token until shortly before it "
    "expires.",
    "service": "Too many token requests of this client: wait, and keep tokens until shortly before "
    "they expire.",
    "manage": "Too many requests of this client: wait, then retry.",
    "sign_out": "Too many sign-outs of this user: wait, then retry.",
    "expired": "Too many requests with an expired credential: renew it, then retry.",
    "failures": "Too many failed authentications or malformed requests from this address: wait, "
    "then send a well-formed request with a valid credential.",
    "refresh": "Too many refreshes of this session: wait, and keep an access token until shortly "
    "before it expires.",
    "sign_in": "Too many failed sign-ins from this address: wait, then retry.",
    "sign_in_56": "Too many failed sign-ins from this network: wait, then retry.",
    "sign_in_48": "Too many failed sign-ins from this network: wait, then retry.",
    "sign_up": "Too many sign-ups from this address: wait, then retry.",
    "codes": "Too many invalid codes from this address: wait, then send a valid one.",
}


def check(state: LimitState) -> None:
    """
    Refuse a request beyond a limit.

    Raises:
        Refusal: `rate_limited`.
    """
    set_rate_limit_fields(*state.fields())
    if state.allowed:
        return
    metrics.count_limit_hit(state.policy)
    raise Refusal(
        Code.RATE_LIMITED,
        _DETAILS[state.policy],
        reason=f"limits.{state.policy}",
        retry_after=state.reset_after,
    )
