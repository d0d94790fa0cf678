"""The clock, which is always a parameter."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch (UTC), with fractions."""

system_clock: Clock = time.time

_DAY = 86400


def start_of_day(now: float) -> int:
    """Return the beginning of the UTC day of a time; both are epoch seconds."""
    return int(now) // _DAY * _DAY
