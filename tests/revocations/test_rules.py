"""The arithmetic of a revocation: every earlier token is below the cut-off."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.ids import sortable_id
from tokensvc.revocations.rules import (
    StoredRevocation,
    cut_off_of,
    latest,
    revocation_to_undo,
)
from tokensvc.standing.rules import (
    RevocationKind,
    RingVersion,
    Standing,
    has_passed,
    issued_at,
    next_bound,
)

RING_VERSION = RingVersion(1, "a")
TIMES = st.floats(min_value=1_000, max_value=2**33)
PAUSES = st.floats(min_value=0, max_value=10)
SKEWS = st.integers(min_value=0, max_value=60)
CUT_OFFS = st.one_of(st.none(), st.integers(min_value=0, max_value=2**33))


def standing(now, *, cut_off=None, floor=0):
    """Return what a statement reads at a time."""
    return Standing(
        now=int(now),
        suspended=False,
        tokens_valid_after=cut_off,
        floor=floor,
        ring_version=RING_VERSION,
    )


@given(CUT_OFFS, TIMES)
@example(None, 1_000.0)
@example(None, 1_000.999_999)
@example(1_001, 1_000.0)
def test_next_bound_is_in_the_future_and_never_decreases(before, now):
    cut_off = next_bound(before, now)
    assert cut_off > now
    assert cut_off == int(now) + 1 or cut_off == before
    assert before is None or cut_off >= before


@given(
    locked=TIMES,
    commit=PAUSES,
    response=PAUSES,
    again=PAUSES,
    earlier=PAUSES,
    floor=PAUSES,
    skew=SKEWS,
)
@example(locked=1_000.5, commit=0.4, response=0.0, again=0.0, earlier=0.0, floor=0.0, skew=0)
@example(locked=1_000.5, commit=0.5, response=0.0, again=0.0, earlier=0.0, floor=0.0, skew=0)
@example(locked=1_000.5, commit=3.0, response=0.0, again=2.0, earlier=0.0, floor=0.0, skew=0)
def test_token_of_a_read_before_the_commit_is_below_the_cut_off(
    *, locked, commit, response, again, earlier, floor, skew
):
    """
    However long the commit takes.

    The action reads the clock after it holds the lock. From the commit on, every read sees the
    action. The clock is read again after the commit, and a cut-off that has passed moves again.
    """
    committed = locked + commit
    cut_off = next_bound(None, locked)
    if has_passed(cut_off, committed + response):
        cut_off = next_bound(cut_off, committed + response + again)
    read = committed - earlier
    old = issued_at(standing(read, floor=int(read - floor)), skew)
    assert old is not None
    assert old < cut_off


@given(read=TIMES, cut_off=st.integers(min_value=0, max_value=2**33), ahead=SKEWS, skew=SKEWS)
@example(read=1_000.5, cut_off=1_000, ahead=0, skew=5)
@example(read=1_000.5, cut_off=1_001, ahead=0, skew=5)
def test_token_of_a_read_after_the_commit_is_accepted_by_stream(read, cut_off, ahead, skew):
    """A late enough sign-in gets a token above the cut-off, immediately or a second later."""
    after = standing(read, cut_off=cut_off, floor=cut_off)
    user = UserCaller("ada", "acme", cut_off + ahead, ahead)
    issued = issued_at(after, skew)
    if issued is None:
        assert read < cut_off
    else:
        check_standing(user, after)
        assert cut_off <= issued <= read
    a_second_later = replace(after, now=max(int(read), cut_off))
    check_standing(user, a_second_later)
    later = issued_at(a_second_later, skew)
    assert later is not None
    assert later >= cut_off


@given(signed_in=TIMES, revoked=PAUSES, runs_ahead=SKEWS, more=SKEWS)
def test_sign_in_before_a_revocation_is_refused(signed_in, revoked, runs_ahead, more):
    """The provider's clock may be ahead by as much as the settings allow."""
    cut_off = next_bound(None, signed_in + revoked)
    stated = int(signed_in + runs_ahead)
    caller = UserCaller("ada", "acme", stated, runs_ahead + more)
    with pytest.raises(Refusal) as refused:
        check_standing(caller, standing(signed_in + revoked, cut_off=cut_off, floor=cut_off))
    assert refused.value.code is Code.SIGN_IN_REQUIRED


class History:
    """The revocations of one user, as the store keeps them."""

    def __init__(self):
        self.revocations: list[StoredRevocation] = []
        self.floor = 0
        self.cut_off = None

    def revoke(self, now):
        cut_off = next_bound(self.cut_off, now)
        previous = self.revocations[-1].id if self.revocations else None
        kind = RevocationKind.REVOCATION
        revocation = StoredRevocation(
            sortable_id("rev", previous, now, "0" * 8),
            int(now),
            cut_off,
            kind,
            confirmed=True,
            undone=False,
            reason=None,
        )
        self.revocations.append(revocation)
        self.cut_off, self.floor = cut_off, max(self.floor, cut_off)

    def undo(self):
        revocation = latest(self.revocations)
        assert revocation_to_undo(self.revocations, revocation.id, suspended=False) is revocation
        undone = msgspec.structs.replace(revocation, undone=True)
        self.revocations = [undone if row is revocation else row for row in self.revocations]
        self.cut_off = cut_off_of(self.revocations)


@given(st.lists(st.one_of(st.none(), TIMES), max_size=12))
def test_cut_off_is_the_highest_in_effect_after_any_actions(steps):
    """
    The floor never decreases, even if the clock is set back.

    `None` undoes the latest revocation in effect.
    """
    user = History()
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
        in_effect = [revocation for revocation in user.revocations if not revocation.undone]
        assert (user.cut_off is None) == (not in_effect)
    ids = [revocation.id for revocation in user.revocations]
    assert ids == sorted(set(ids))
