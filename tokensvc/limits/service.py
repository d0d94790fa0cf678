"""Count hits, describe the state of a key, and refuse a request beyond a limit."""

import time
from typing import get_args

from pydantic import SecretStr

from tokensvc.core.clock import Clock
from tokensvc.core.current_request import set_rate_limit_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.memory import MemoryStore
from tokensvc.limits.rules import LimitState, Policy, Rate, state
from tokensvc.limits.settings import LimitSettings, parse_rate
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


class Limiter:
    """
    Rate limits under the policies of the settings.

    Args:
        settings: The rates.
        redis_url: Redis in which all instances count together. Without it, or while it is
            unavailable, each worker process counts for itself.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        settings: LimitSettings,
        redis_url: SecretStr | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._rates: dict[Policy, Rate] = {
            policy: parse_rate(getattr(settings, policy)) for policy in get_args(Policy)
        }
        # One store for each policy: a flood of addresses must not push out users.
        self._memory = {
            policy: MemoryStore(rate, clock=clock) for policy, rate in self._rates.items()
        }
        self._redis = None
        if redis_url is not None:
            # Here, because the import takes a tenth of a start, and few deployments use it.
            from tokensvc.limits.redis import RedisStore  # noqa: PLC0415

            self._redis = RedisStore(redis_url, clock=clock)

    def hit(self, policy: Policy, key: str) -> LimitState:
        """Count a hit if it passes. Does not raise: read `allowed`."""
        return self._check(policy, key, count=True)

    def peek(self, policy: Policy, key: str) -> LimitState:
        """Return the state of a key without counting."""
        return self._check(policy, key, count=False)

    def _check(self, policy: Policy, key: str, *, count: bool) -> LimitState:
        rate = self._rates[policy]
        decision = None
        if self._redis is not None:
            decision = self._redis.check(f"{policy}/{key}", rate, count=count)
        if decision is None:
            decision = self._memory[policy].check(key, count=count)
        return state(policy, rate, decision)


def check_limit(state: LimitState) -> None:
    """
    Show the state of a limit in the response, and refuse a request beyond it.

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
