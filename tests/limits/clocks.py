"""A monotonic clock that a test moves."""


class ManualClock:
    """Seconds that change only when the test changes `now`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
