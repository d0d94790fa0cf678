"""How fast the password of one account can be guessed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.accounts.lock_out import (
    KNOWN_ADDRESS_SECONDS,
    MAX_DELAY,
    STOP_AT,
    STOPPED,
    is_known_address,
    seconds_to_wait,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (99, 900)],
)
def test_delay_rises_from_five_failures(failures, seconds):
    assert seconds_to_wait(failures, NOW, NOW) == seconds


@pytest.mark.parametrize("failures", [100, 101, 10**6])
def test_hundred_failures_stop_the_account_permanently(failures):
    assert seconds_to_wait(failures, NOW, NOW + 10 * 365 * 86400) == STOPPED


def test_account_without_failures_has_no_delay():
    assert seconds_to_wait(0, None, NOW) == 0


@given(st.integers(0, STOP_AT - 1), st.floats(0, 2 * MAX_DELAY))
def test_attempt_is_possible_exactly_after_the_delay(failures, elapsed):
    delay = seconds_to_wait(failures, NOW, NOW)
    remaining = seconds_to_wait(failures, NOW, NOW + elapsed)
    assert remaining == max(0, math.ceil(NOW + delay - (NOW + elapsed)))
    assert seconds_to_wait(failures, NOW, NOW + elapsed + remaining) == 0


@given(st.integers(0, STOP_AT - 1), st.floats(0, 10 * 365 * 86400))
def test_clock_that_was_set_back_does_not_extend_the_delay(failures, seconds):
    assert seconds_to_wait(failures, NOW, NOW - seconds) == seconds_to_wait(failures, NOW, NOW)


@given(st.integers(0, STOP_AT))
def test_delay_never_falls(failures):
    assert seconds_to_wait(failures, NOW, NOW) <= seconds_to_wait(failures + 1, NOW, NOW)


def test_guessing_until_the_stop_takes_most_of_a_day():
    assert sum(seconds_to_wait(failures, NOW, NOW) for failures in range(STOP_AT)) > 20 * 3600
    assert math.isinf(STOPPED)


def test_address_is_known_for_thirty_days_after_a_sign_in():
    assert not is_known_address(None, NOW)
    assert is_known_address(NOW, NOW)
    assert is_known_address(NOW, NOW + KNOWN_ADDRESS_SECONDS - 1)
    assert not is_known_address(NOW, NOW + KNOWN_ADDRESS_SECONDS)
