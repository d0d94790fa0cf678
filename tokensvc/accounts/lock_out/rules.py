"""
How fast the password of one account can be guessed. Pure.

Consecutive failures of a user ID delay its next attempt, more each time, and finally lock it until
an unlock or a reset of the password. All addresses share this counter. It never decays, and a
success resets it.

While it delays or locks the ID, each address has a few attempts of its own. Only at a known address
(one of the last that signed the account in, or refreshed a session of it) can such an attempt
succeed: failures from elsewhere do not lock the user out there. At all other addresses it is
counted and checked in the same way, but always refused. So a wrong password gets the same response
after the same work at every address, for an account and for an ID without one.

Source: NIST SP 800-63B-4 section 3.2.2: at most 100 consecutive failures of an account. The
counters share them, since none may stop the attempts of another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

DELAY_FROM = 5
"""Number of consecutive failures that delays the next attempt."""
MAX_DELAY = 900
"""Maximum delay in seconds: 60 failures take half a day."""
KNOWN_ADDRESS_SECONDS = 30 * 86400
"""Seconds for which an address is known after its last sign-in or refresh of the account."""
KNOWN_ADDRESSES = 4
"""Addresses of an account that are known at the same time: the last ones."""
FORGET_SECONDS = 90 * 86400
"""
Seconds from the last failure to the deletion of a counter. Only two kinds are deleted: those of IDs
without an account, and those of addresses that the account does not know.
"""
MAX_WITHOUT_ACCOUNT = 100_000
"""Number of these counters that are kept. Otherwise a guesser could fill the database."""

LOCKED = math.inf
"""Wait of an account that is locked until an unlock or a reset."""


class CounterKind(StrEnum):
    """The kind of a counter. The values, which the database has, are older than the names."""

    SHARED = "unknown"
    """Failures of a user ID, from all addresses."""
    OWN = "known"
    """Failures at one address while the shared counter delays or locks the user ID."""


LOCK_AFTER: Mapping[CounterKind, int] = MappingProxyType(
    {CounterKind.SHARED: 60, CounterKind.OWN: 10}
)
"""Consecutive failures after which no attempt is possible; of all counters together 100."""


@dataclass(frozen=True, slots=True)
class Counter:
    """
    Consecutive failures of a user ID.

    Attributes:
        last_failed_at: Time of the last one, in epoch seconds.
    """

    kind: CounterKind
    failures: int
    last_failed_at: int


def seconds_to_wait(counter: Counter, now: float) -> float:
    """Return the seconds until the next attempt is possible: whole ones, or `LOCKED`."""
    if counter.failures >= LOCK_AFTER[counter.kind]:
        return LOCKED
    if counter.failures < DELAY_FROM:
        return 0
    delay = min(1 << (counter.failures - DELAY_FROM), MAX_DELAY)
    # A clock that was set back does not extend the delay.
    return max(0, min(delay, math.ceil(counter.last_failed_at + delay - now)))


def is_known(last_sign_in_at: float | None, now: float) -> bool:
    """
    Return whether an account knows an address.

    Args:
        last_sign_in_at: Time of the last sign-in or refresh of this account from the address, in
            epoch seconds; `None` if there was none.
    """
    return last_sign_in_at is not None and now - last_sign_in_at < KNOWN_ADDRESS_SECONDS
