"""The arithmetic of a revocation: no token from before it is as young as its cut-off."""

from dataclasses import replace

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Refusal
from tokensvc.core.ids import sortable_id
from tokensvc.revocations.rules import (
    RevocationKind,
    StoredRevocation,
    cut_off_of,
    has_passed,
    latest,
    next_cut_off,
    revocation_to_undo,
)
from tokensvc.standing.rules import Standing, issued_at

TIMES = st.floats(min_value=1_000, max_value=2**33)
PAUSES = st.floats(min_value=0, max_value=10)
SKEWS = st.integers(min_value=0, max_value=60)
CUT_OFFS = st.one_of(st.none(), st.integers(min_value=0, max_value=2**33))


def standing(now, *, cut_off=None, floor=0):
    """Give what a statement reads at a time."""
    return Standing(
        now=int(now), suspended=False, tokens_valid_after=cut_off, floor=floor, ring_version=0
    )


@given(CUT_OFFS, TIMES)
@example(None, 1_000.0)
@example(None, 1_000.999_999)
@example(1_001, 1_000.0)
def test_a_cut_off_lies_ahead_and_never_goes_back(before, now):
    """It is the next whole second, or the one that stands already if that is later."""
    cut_off = next_cut_off(before, now)
    assert cut_off > now
    assert cut_off == int(now) + 1 or cut_off == before
    assert before is None or cut_off >= before


@given(
    locked=TIMES,
    commit=PAUSES,
    answer=PAUSES,
    again=PAUSES,
    earlier=PAUSES,
    floor=PAUSES,
    skew=SKEWS,
)
@example(locked=1_000.5, commit=0.4, answer=0.0, again=0.0, earlier=0.0, floor=0.0, skew=0)
@example(locked=1_000.5, commit=0.5, answer=0.0, again=0.0, earlier=0.0, floor=0.0, skew=0)
@example(locked=1_000.5, commit=3.0, answer=0.0, again=2.0, earlier=0.0, floor=0.0, skew=0)
def test_no_token_of_a_read_before_the_act_survives_it(
    *, locked, commit, answer, again, earlier, floor, skew
):
    """
    Whatever the commit takes: who read the standing before it minted below the cut-off.

    The act reads the clock after it holds the lock; from the commit on every read sees the act; the
    clock is read again after that, and the cut-off moved once more if it has been reached.
    """
    committed = locked + commit
    cut_off = next_cut_off(None, locked)
    if has_passed(cut_off, committed + answer):
        cut_off = next_cut_off(cut_off, committed + answer + again)
    read = committed - earlier
    old = issued_at(standing(read, floor=int(read - floor)), skew)
    assert old is not None
    assert old < cut_off


@given(read=TIMES, cut_off=st.integers(min_value=0, max_value=2**33), ahead=SKEWS, skew=SKEWS)
@example(read=1_000.5, cut_off=1_000, ahead=0, skew=5)
@example(read=1_000.5, cut_off=1_001, ahead=0, skew=5)
def test_a_token_of_a_read_after_the_act_is_one_that_stream_takes(read, cut_off, ahead, skew):
    """Whoever signed in late enough gets a token above the cut-off, at once or a second later."""
    after = standing(read, cut_off=cut_off, floor=cut_off)
    check_standing(UserCaller("ada", "acme", cut_off + ahead, ahead), after)
    issued = issued_at(after, skew)
    if issued is None:
        assert read < cut_off
    else:
        assert cut_off <= issued <= read
    later = issued_at(replace(after, now=max(int(read), cut_off)), skew)
    assert later is not None
    assert later >= cut_off


@given(signed_in=TIMES, revoked=PAUSES, runs_ahead=SKEWS, more=SKEWS)
def test_a_sign_in_before_the_act_is_covered(signed_in, revoked, runs_ahead, more):
    """Also of a provider whose clock runs ahead, as long as it is allowed to."""
    cut_off = next_cut_off(None, signed_in + revoked)
    stated = int(signed_in + runs_ahead)
    caller = UserCaller("ada", "acme", stated, runs_ahead + more)
    try:
        check_standing(caller, standing(signed_in + revoked, cut_off=cut_off, floor=cut_off))
    except Refusal:
        return
    raise AssertionError("not covered")


class Acts:
    """The acts of one user, as the store keeps them."""

    def __init__(self):
        self.acts: list[StoredRevocation] = []
        self.floor = 0
        self.cut_off = None

    def revoke(self, now):
        cut_off = next_cut_off(self.cut_off, now)
        previous = self.acts[-1].id if self.acts else None
        kind = RevocationKind.REVOCATION
        act = StoredRevocation(
            sortable_id("rev", previous, now, "0" * 8),
            int(now),
            cut_off,
            kind,
            confirmed=True,
            undone=False,
            reason=None,
        )
        self.acts.append(act)
        self.cut_off, self.floor = cut_off, max(self.floor, cut_off)

    def undo(self):
        act = latest(self.acts)
        assert revocation_to_undo(self.acts, act.id, suspended=False) is act
        undone = msgspec.structs.replace(act, undone=True)
        self.acts = [undone if row is act else row for row in self.acts]
        self.cut_off = cut_off_of(self.acts)


@given(st.lists(st.one_of(st.none(), TIMES), max_size=12))
def test_acts_and_undos_in_any_order(steps):
    """
    Also when the clock is set back: the highest of the acts that stand, and a floor that rises.

    `None` undoes the latest act that stands.
    """
    user = Acts()
    for now in steps:
        before = user.floor
        if now is None:
            if user.cut_off is None:
                continue
            user.undo()
        else:
            user.revoke(now)
            assert user.cut_off > now
        assert user.floor >= before
        assert user.cut_off is None or user.cut_off <= user.floor
        standing_acts = [act for act in user.acts if not act.undone]
        assert (user.cut_off is None) == (not standing_acts)
    ids = [act.id for act in user.acts]
    assert ids == sorted(set(ids))


@given(st.lists(TIMES, min_size=2, max_size=6), st.data())
def test_only_the_latest_that_stands_is_undone(times, data):
    """Every other is refused as superseded, and stays as it is."""
    user = Acts()
    for now in times:
        user.revoke(now)
    other = data.draw(st.sampled_from(user.acts[:-1]))
    assume(not other.undone)
    try:
        revocation_to_undo(user.acts, other.id, suspended=False)
    except Refusal as refusal:
        assert refusal.code == "superseded"
    else:
        raise AssertionError("undone")
