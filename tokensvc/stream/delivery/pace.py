"""The pauses between calls to Stream. Pure."""

from dataclasses import dataclass

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
