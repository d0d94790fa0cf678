"""The arithmetic of cut-offs: who is covered by one, and what a token may say of its time."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import Standing, issued_at, sign_in_after

TIMES = st.integers(min_value=0, max_value=2**40)
SECONDS = st.integers(min_value=0, max_value=60)


def standing(*, now=1_000, cut_off=None, floor=0):
    return Standing(
        now=now, suspended=False, tokens_valid_after=cut_off, floor=floor, ring_version=0
    )


def covered(standing, signed_in_at, clock_ahead):
    """Tell whether a user who signed in then is sent to sign in again."""
    try:
        check_standing(UserCaller("ada", "acme", signed_in_at, clock_ahead), standing)
    except Refusal as refusal:
        assert refusal.code is Code.SIGN_IN_REQUIRED
        return True
    return False


@given(TIMES, TIMES, SECONDS)
def test_without_a_cut_off_nobody_is_covered(now, signed_in_at, clock_ahead):
    """Whatever the sign-in, a clean standing asks for no other."""
    clean = standing(now=now)
    assert not covered(clean, signed_in_at, clock_ahead)
    assert sign_in_after(clean, clock_ahead) is None


@given(TIMES, TIMES, SECONDS)
def test_a_sign_in_is_covered_exactly_while_it_is_older(cut_off, signed_in_at, clock_ahead):
    """It is covered up to the time that the refusal names as late enough, and no longer."""
    revoked = standing(cut_off=cut_off)
    after = sign_in_after(revoked, clock_ahead)
    assert after == cut_off + clock_ahead
    assert covered(revoked, signed_in_at, clock_ahead) == (signed_in_at < after)
    assert not covered(revoked, after, clock_ahead)
    assert covered(revoked, after - 1, clock_ahead)


@given(TIMES, st.integers(min_value=0, max_value=600), SECONDS, SECONDS)
def test_a_sign_in_before_the_revocation_never_passes(true_time, later, clock_ahead, runs_ahead):
    """A provider's clock may run ahead by as much as allowed: its earlier sign-ins stay covered."""
    cut_off = true_time + later + 1
    stated = true_time + min(runs_ahead, clock_ahead)
    assert covered(standing(cut_off=cut_off), stated, clock_ahead)


@given(TIMES, TIMES, SECONDS, SECONDS)
def test_a_later_cut_off_and_a_wilder_clock_cover_no_less(cut_off, signed_in_at, ahead, more):
    """Whoever is covered stays covered when either grows."""
    if covered(standing(cut_off=cut_off), signed_in_at, ahead):
        assert covered(standing(cut_off=cut_off + more), signed_in_at, ahead)
        assert covered(standing(cut_off=cut_off), signed_in_at, ahead + more)


@given(TIMES, TIMES, SECONDS)
@example(now=100, floor=100, skew=5)
@example(now=100, floor=101, skew=5)
def test_a_token_is_never_from_the_future_nor_from_before_the_floor(now, floor, skew):
    """Stream refuses the first with code 42 and the second with code 40."""
    issued = issued_at(standing(now=now, floor=floor), skew)
    if floor > now:
        assert issued is None
    else:
        assert floor <= issued <= now
        assert issued == max(now - skew, floor)


@given(TIMES, st.integers(min_value=0, max_value=600), SECONDS, SECONDS)
def test_tokens_from_before_a_cut_off_are_below_it(before, later, skew, wait):
    """A token minted before a revocation has an older `iat` than one minted after it."""
    cut_off = before + later + 1
    old = issued_at(standing(now=before), skew)
    new = issued_at(standing(now=cut_off + wait, cut_off=cut_off, floor=cut_off), skew)
    assert old < cut_off <= new


@pytest.mark.parametrize(
    "now, floor, skew, expected",
    [
        (1_000, 0, 5, 995),
        (1_000, 998, 5, 998),
        (1_000, 1_000, 5, 1_000),
        (1_000, 1_001, 5, None),
        (1_000, 0, 0, 1_000),
        (3, 0, 5, 0),
    ],
)
def test_issued_at_by_example(now, floor, skew, expected):
    """Back-dated by the skew, but not past the floor; nothing while the floor lies ahead."""
    assert issued_at(standing(now=now, floor=floor), skew) == expected


def test_undo_does_not_lower_the_floor():
    """With the cut-off taken back nobody is covered, and new tokens stay above it all the same."""
    undone = standing(now=1_000, cut_off=None, floor=999)
    assert not covered(undone, 0, 60)
    assert issued_at(undone, 60) == 999
