"""
How fast the password of one account can be guessed. Pure.

Consecutive failures delay the next attempt, more each time, and finally stop all attempts until an
operator unlocks the account or its password is reset. An address that signed this account in lately
has a counter of its own: failures from elsewhere neither delay nor stop the user there, and a
success resets only the counter of its address. The same rules apply to IDs without an account, so
that a response does not reveal whether one exists.

Source: NIST SP 800-63B-4 section 3.2.2: at most 100 consecutive failures.
"""

import math

DELAY_FROM = 5
"""Consecutive failures from which on the next attempt is delayed."""
STOP_AT = 100
"""Consecutive failures after which no attempt is possible."""
MAX_DELAY = 900
"""Seconds of the longest delay: 100 guesses need almost a day."""
KNOWN_ADDRESS_SECONDS = 30 * 86400
"""Seconds for which an address is known after it signed the account in."""

STOPPED = math.inf
"""Wait of an account that is stopped until an unlock or a reset."""


def seconds_to_wait(failures: int, last_failure_at: float | None, now: float) -> float:
    """
    Return the seconds until the next attempt is possible: whole ones, or `STOPPED`.

    Args:
        failures: Consecutive failures that the counter of the address has.
        last_failure_at: Time of the last one in epoch seconds; `None` without failures.
        now: Epoch seconds.
    """
    if failures >= STOP_AT:
        return STOPPED
    if last_failure_at is None or failures < DELAY_FROM:
        return 0
    delay = min(1 << (failures - DELAY_FROM), MAX_DELAY)
    # A clock that was set back does not extend the delay.
    return max(0, min(delay, math.ceil(last_failure_at + delay - now)))


def is_known_address(last_sign_in_at: float | None, now: float) -> bool:
    """
    Return whether an address has the counter of known addresses.

    Args:
        last_sign_in_at: Time of the last sign-in of this account from the address, in epoch
            seconds; `None` if there was none.
        now: Epoch seconds.
    """
    return last_sign_in_at is not None and now - last_sign_in_at < KNOWN_ADDRESS_SECONDS
