"""Which sign-ins a cut-off covers, and which issue time a token has."""

from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RingVersion, Standing, issued_at, sign_in_after

LATEST = 2**40
TIMES = st.integers(min_value=0, max_value=LATEST)
RING_VERSION = RingVersion(1, "a")
SECONDS = st.integers(min_value=0, max_value=60)


def standing(*, now=1_000, cut_off=None, floor=0):
    return Standing(
        now=now, suspended=False, tokens_valid_after=cut_off, floor=floor, ring_version=RING_VERSION
    )


def covered(standing, signed_in_at, clock_ahead):
    """Return whether a user who signed in at that time must sign in again."""
    try:
        check_standing(UserCaller("ada", "acme", signed_in_at, clock_ahead), standing)
    except Refusal as refusal:
        assert refusal.code is Code.SIGN_IN_REQUIRED
        return True
    return False


@given(TIMES, SECONDS)
def test_clean_standing_covers_no_sign_in(signed_in_at, clock_ahead):
    clean = standing(now=LATEST)
    assert not covered(clean, signed_in_at, clock_ahead)
    assert sign_in_after(clean, clock_ahead) is None


@given(TIMES, TIMES, SECONDS)
def test_cut_off_covers_exactly_the_earlier_sign_ins(cut_off, signed_in_at, clock_ahead):
    revoked = standing(now=LATEST, cut_off=cut_off)
    after = sign_in_after(revoked, clock_ahead)
    assert after == cut_off + clock_ahead
    assert covered(revoked, signed_in_at, clock_ahead) == (signed_in_at < after)
    assert not covered(revoked, after, clock_ahead)
    assert covered(revoked, after - 1, clock_ahead)


@given(TIMES, TIMES, SECONDS)
@example(now=100, floor=100, skew=5)
@example(now=100, floor=101, skew=5)
def test_token_is_never_from_the_future_or_before_the_floor(now, floor, skew):
    """Stream refuses the first with code 42 and the second with code 40."""
    issued = issued_at(standing(now=now, floor=floor), skew)
    if floor > now:
        assert issued is None
    else:
        assert floor <= issued <= now
        assert issued == max(now - skew, floor)
