"""Count hits and tell where a key stands."""

import time

import limits
from pydantic import SecretStr

from tokensvc.core.clock import Clock
from tokensvc.limits.memory import MemoryWindows
from tokensvc.limits.redis import RedisWindows
from tokensvc.limits.rules import LimitState, Policy, Window, reset_after, used
from tokensvc.limits.settings import LimitSettings


class _Rate:
    """A policy's limit, and this process's own windows for it."""

    __slots__ = ("limit", "memory", "policy", "window")

    def __init__(self, policy: Policy, text: str, clock: Clock) -> None:
        rate = limits.parse(text)
        self.policy = policy
        self.limit = rate.amount
        self.window = rate.get_expiry()
        # One store a policy: a flood of strange addresses must not push users out.
        self.memory = MemoryWindows(self.limit, self.window, clock=clock)

    def state(self, counted: Window, *, allowed: bool) -> LimitState:
        return LimitState(
            self.policy,
            self.limit,
            max(0, self.limit - used(counted, self.window)),
            reset_after(counted, self.window),
            self.window,
            allowed,
        )


class Limiter:
    """
    Rate limits under the settings' policies.

    Args:
        settings: The rates.
        redis_url: Where all instances count together; without it, and while it is away, each
            worker process counts for itself.
        clock: Seconds from any moment, monotonic.
    """

    def __init__(
        self,
        settings: LimitSettings,
        redis_url: SecretStr | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._rates: dict[Policy, _Rate] = {
            "mint": _Rate("mint", settings.mint, clock),
            "service": _Rate("service", settings.service, clock),
            "failures": _Rate("failures", settings.failures, clock),
        }
        self._redis = None if redis_url is None else RedisWindows(redis_url, clock=clock)

    def hit(self, policy: Policy, key: str) -> LimitState:
        """Count a hit of `key` if it passes. Raises nothing: look at `allowed`."""
        rate = self._rates[policy]
        taken = None
        if self._redis is not None:
            taken = self._redis.take(f"{policy}/{key}", rate.limit, rate.window)
        allowed, counted = taken or rate.memory.take(key)
        return rate.state(counted, allowed=allowed)

    def peek(self, policy: Policy, key: str) -> LimitState:
        """Tell where `key` stands, without counting."""
        rate = self._rates[policy]
        counted = None
        if self._redis is not None:
            counted = self._redis.look(f"{policy}/{key}", rate.window)
        if counted is None:
            counted = rate.memory.look(key)
        return rate.state(counted, allowed=used(counted, rate.window) < rate.limit)
