"""A monotonic clock that a test moves."""

from fractions import Fraction


class ManualClock:
    """Seconds that change only when the test changes `now`."""

    def __init__(self, now: float | Fraction = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float | Fraction:
        return self.now
