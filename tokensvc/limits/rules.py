"""
GCRA, the generic cell rate algorithm of ITU-T I.371. Pure.

Each key has one number, its theoretical arrival time (TAT): the time at which the key is idle
again. Every hit that passes moves the TAT by one period, and a hit passes while the TAT is at most
`burst` periods ahead. So `burst` hits pass from idle, and one more after each period.
"""

from typing import Literal, NamedTuple, TypeAlias

import msgspec

Policy: TypeAlias = Literal[
    "mint",
    "service",
    "manage",
    "sign_out",
    "expired",
    "failures",
    "sign_in",
    "sign_in_56",
    "sign_in_48",
    "sign_up",
    "codes",
    "refresh",
]
"""Name of a limit, as in the settings. `callers.rules` says what each one counts."""

MICROSECONDS = 1_000_000
"""Times are whole microseconds: exact in Python, and in Redis, whose numbers are doubles."""


class Rate(NamedTuple):
    """
    A configured limit.

    Attributes:
        limit: Number of hits that pass from idle, and in each window thereafter.
        window: Seconds.
    """

    limit: int
    window: int

    @property
    def period(self) -> int:
        """Microseconds between two hits at the steady rate."""
        return max(1, self.window * MICROSECONDS // self.limit)


class Decision(NamedTuple):
    """
    The result of one hit.

    Attributes:
        allowed: Whether the hit passes.
        backlog: Microseconds until the key is idle.
    """

    allowed: bool
    backlog: int


class LimitState(msgspec.Struct, frozen=True):
    """
    State of a key under a policy.

    Attributes:
        policy: Name of the policy.
        limit: Number of hits that pass from idle.
        remaining: Number of hits that would pass now.
        reset_after: Whole seconds until one more hit passes than now; 0 for an idle key.
        window: Seconds.
        allowed: Whether the hit passed; after `peek`, whether a hit would pass.
    """

    policy: Policy
    limit: int
    remaining: int
    reset_after: int
    window: int
    allowed: bool

    def fields(self) -> tuple[str, str]:
        """
        Return the values of `RateLimit-Policy` and `RateLimit`.

        Source: draft-ietf-httpapi-ratelimit-headers-11; Structured Field lists of one item.
        """
        return (
            f'"{self.policy}";q={self.limit};w={self.window}',
            f'"{self.policy}";r={self.remaining};t={self.reset_after}',
        )


def gcra(tat: int, now: int, period: int, burst: int) -> Decision:
    """
    Decide whether a hit passes, and return the backlog without it.

    A TAT beyond the tolerance, left by a clock that was set back or by a lower rate, is cut to the
    tolerance: no key is blocked for longer than `burst` periods.

    Args:
        tat: TAT of the key in microseconds; 0 for a new key.
        now: Microseconds on the same clock.
        period: Microseconds between two hits at the steady rate.
        burst: Number of hits that pass from idle.
    """
    tolerance = period * burst
    backlog = min(max(tat - now, 0), tolerance)
    return Decision(backlog + period <= tolerance, backlog)


def state(policy: Policy, rate: Rate, decision: Decision) -> LimitState:
    """
    Describe a key to its caller.

    Args:
        policy: Name of the policy.
        rate: Its limit.
        decision: Result of the hit; its backlog includes the hit if it was counted.
    """
    period, backlog = rate.period, decision.backlog
    used = -(-backlog // period)
    wait = backlog - (used - 1) * period if used else 0
    return LimitState(
        policy=policy,
        limit=rate.limit,
        remaining=rate.limit - used,
        reset_after=-(-wait // MICROSECONDS),
        window=rate.window,
        allowed=decision.allowed,
    )
