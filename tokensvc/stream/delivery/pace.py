"""
How fast deliveries call Stream: the budgets of all senders, and the pauses of one. Pure.

Stream counts calls by endpoint in each minute, and a thirtieth of them in each second. The app's
own backend has the same limits, so deliveries leave it the rest.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from tokensvc.limits.rules import MICROSECONDS
from tokensvc.stream.responses import CallStatus, StreamResponse

_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The pause before this process' next call for deliveries of one kind.

    Attributes:
        failures: Number of consecutive unsuccessful calls.
        not_before: Earliest time of the next call, in seconds of a monotonic clock.
    """

    failures: int = 0
    not_before: float = 0.0


def next_pace(pace: Pace, response: StreamResponse, now: float, random_fraction: float) -> Pace:
    """
    Return the pace after a call.

    Args:
        now: Seconds of a monotonic clock.
    """
    if response.status is CallStatus.DONE or response.status.is_about_content:
        return Pace(0, now + response.wait)
    pause = back_off(pace.failures, random_fraction, _LONGEST_PAUSE)
    return Pace(pace.failures + 1, now + max(pause, response.wait))


def back_off(failures: int, random_fraction: float, longest: float) -> float:
    """Return the seconds until the next attempt: 0, then 1, 2, 4, … minus up to a half."""
    if failures == 0:
        return 0.0
    return min(longest, 2.0 ** min(failures - 1, 16)) * (1 - random_fraction / 2)


class Budget(NamedTuple):
    """
    Calls to an endpoint that deliveries may make, as `limits.rules.gcra` reads it.

    Attributes:
        period: Microseconds between two calls at the steady rate.
        burst: Number of calls that an unused budget allows immediately.
    """

    period: int
    burst: int


def budget_of(limit: int, share: float) -> Budget:
    """
    Return a budget that no minute and no second exceeds, wherever Stream's windows begin.

    Args:
        limit: Stream's limit of calls in a minute.
        share: Share of the limit, above 0 and at most 1.
    """
    calls = limit * share
    # In a second, the burst and half as many again at the steady rate: a thirtieth of the calls.
    burst = max(1, int(calls / 60))
    return Budget(math.ceil(60 * MICROSECONDS / (calls - burst + 1)), burst)
