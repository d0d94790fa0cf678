"""The clock, always a parameter: `Clock` where one is taken, `system_clock` where one is given."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch (UTC), with fractions."""

system_clock: Clock = time.time
