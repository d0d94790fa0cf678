"""The clock, which is always a parameter."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch (UTC), with fractions."""

system_clock: Clock = time.time
