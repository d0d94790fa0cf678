"""
The budgets: the share of Stream's rate limits that all senders of a database use together. Pure.

Stream counts calls by endpoint in each minute, and a thirtieth of them in each second. The app's
own backend has the same limits, so deliveries leave it the rest.
"""

import math
from typing import NamedTuple

from tokensvc.limits.rules import MICROSECONDS


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
