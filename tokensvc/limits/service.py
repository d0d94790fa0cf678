"""Count hits and describe the state of a key."""

import time
from typing import get_args

from pydantic import SecretStr

from tokensvc.core.clock import Clock
from tokensvc.limits.memory import MemoryStore
from tokensvc.limits.rules import LimitState, Policy, Rate, state
from tokensvc.limits.settings import LimitSettings, parse_rate


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
