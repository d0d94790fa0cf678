"""How fast the password of one account can be guessed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.accounts.lock_out.rules import (
    KNOWN_ADDRESS_SECONDS,
    KNOWN_ADDRESSES,
    LOCK_AFTER,
    LOCKED,
    MAX_DELAY,
    Counter,
    CounterKind,
    is_known,
    seconds_to_wait,
)
from tokensvc.vault.hashes import KeyedHashes

NOW = 1_800_000_000.0
KINDS = st.sampled_from(CounterKind)


def wait(failures, now=NOW, kind=CounterKind.SHARED):
    return seconds_to_wait(Counter(kind, failures, NOW), now)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (59, 900)],
)
def test_delay_rises_from_five_failures(failures, seconds):
    assert wait(failures) == seconds


@pytest.mark.parametrize(
    ("kind", "failures"),
    [
        (CounterKind.SHARED, 60),
        (CounterKind.SHARED, 10**6),
        (CounterKind.OWN, 10),
        (CounterKind.OWN, 11),
    ],
)
def test_last_failure_stops_the_attempts_permanently(kind, failures):
    assert wait(failures, NOW + 10 * 365 * 86400, kind) == LOCKED


@pytest.mark.sec(42)
def test_account_has_at_most_a_hundred_failures_from_all_addresses():
    assert LOCK_AFTER[CounterKind.SHARED] + KNOWN_ADDRESSES * LOCK_AFTER[CounterKind.OWN] == 100


@given(KINDS, st.data(), st.floats(0, 2 * MAX_DELAY))
def test_attempt_is_possible_exactly_after_the_delay(kind, data, elapsed):
    failures = data.draw(st.integers(0, LOCK_AFTER[kind] - 1))
    delay = wait(failures, kind=kind)
    remaining = wait(failures, NOW + elapsed, kind)
    assert remaining == max(0, math.ceil(NOW + delay - (NOW + elapsed)))
    assert wait(failures, NOW + elapsed + remaining, kind) == 0


@given(st.integers(0, LOCK_AFTER[CounterKind.SHARED] - 1), st.floats(0, 10 * 365 * 86400))
def test_clock_that_was_set_back_does_not_extend_the_delay(failures, seconds):
    assert wait(failures, NOW - seconds) == wait(failures)


@given(KINDS, st.integers(0, 100))
def test_delay_never_falls(kind, failures):
    assert wait(failures, kind=kind) <= wait(failures + 1, kind=kind)


def test_guessing_until_the_stop_takes_half_a_day():
    assert sum(wait(failures) for failures in range(LOCK_AFTER[CounterKind.SHARED])) > 11 * 3600


def test_address_is_known_for_thirty_days_after_a_sign_in():
    assert not is_known(None, NOW)
    assert is_known(NOW, NOW)
    assert is_known(NOW, NOW + KNOWN_ADDRESS_SECONDS - 1)
    assert not is_known(NOW, NOW + KNOWN_ADDRESS_SECONDS)


@pytest.mark.sec(42)
def test_hash_depends_on_the_text_its_kind_and_the_secret():
    hashes = KeyedHashes("one secret")
    found = {
        hashes.of_user_id("ada"),
        hashes.of_user_id("ben"),
        hashes.of_address("ada"),
        KeyedHashes("another secret").of_user_id("ada"),
    }
    assert len(found) == 4
    assert hashes.of_user_id("ada") == KeyedHashes("one secret").of_user_id("ada")
