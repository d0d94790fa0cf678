"""
The arithmetic of a sliding window counter. Pure.

Two counters a key: of the window that runs, and of the one before, which weighs less the longer
the running one lasts. It costs constant time and memory, and unlike a fixed window it does not let
twice the limit pass around a boundary.
"""

import math
from typing import Literal, NamedTuple, TypeAlias

import msgspec

Policy: TypeAlias = Literal["mint", "service", "failures"]
"""By the verified user, by the service client, by the address of failed authentications."""


class Window(NamedTuple):
    """
    What is counted for a key.

    Attributes:
        previous: Hits in the window before the running one.
        previous_ttl: Seconds until those count nothing.
        current: Hits in the running window.
        current_ttl: Seconds until those count nothing: one window after the running one ends.
    """

    previous: int
    previous_ttl: float
    current: int
    current_ttl: float


EMPTY = Window(0, 0.0, 0, 0.0)


class LimitState(msgspec.Struct, frozen=True):
    """
    Where a key stands under a policy.

    Attributes:
        policy: The policy's name.
        limit: Hits that pass in a window.
        remaining: Hits that would pass now.
        reset_after: Whole seconds after which more will pass than now; 0 when nothing is counted.
        window: Seconds.
        allowed: Whether the hit passed; of a state that was only looked at, whether one would.
    """

    policy: Policy
    limit: int
    remaining: int
    reset_after: int
    window: int
    allowed: bool


def used(counted: Window, window: int) -> int:
    """Give the hits that weigh now."""
    return int(counted.previous * counted.previous_ttl / window) + counted.current


def reset_after(counted: Window, window: int) -> int:
    """Give the whole seconds after which fewer hits weigh than now; 0 when none does."""
    weight = int(counted.previous * counted.previous_ttl / window)
    if weight:
        wait = counted.previous_ttl - weight * window / counted.previous
    elif counted.current:
        wait = counted.current_ttl - window
    else:
        return 0
    return max(1, math.ceil(wait))
