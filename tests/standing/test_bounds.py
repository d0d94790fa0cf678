"""The two bounds of a standing: what each action moves, and in which direction."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.standing.rules import (
    RingVersion,
    StoredStanding,
    combine,
    has_passed,
    issued_at,
    next_bound,
    renewed,
    with_confirmed_renewal,
    with_floor,
)

RING_VERSION = RingVersion(1, "a")
TIMES = st.floats(min_value=1_000, max_value=2**33)
PAUSES = st.floats(min_value=0, max_value=10)
SKEWS = st.integers(min_value=0, max_value=60)


def read_of(standing, now):
    """Return what a mint reads of a user's row."""
    user = standing.tokens_valid_after, standing.floor, standing.suspended_at
    return combine(int(now), RING_VERSION, (None, 0), (*user, None))


class Model:
    """A user's row, and the cut-offs of the revocations in effect, oldest first."""

    def __init__(self):
        self.row = StoredStanding()
        self.cut_offs = []

    def revoke(self, now):
        self.cut_offs.append(next_bound(self.row.tokens_valid_after, now))

    def undo(self, _now):
        self.cut_offs = self.cut_offs[:-1]

    def renew(self, now):
        self.row = renewed(self.row, now)

    def confirm(self, now):
        self.row = with_confirmed_renewal(self.row, now)

    def step(self, action, now):
        getattr(self, action)(now)
        cut_off = max(self.cut_offs, default=None)
        self.row = with_floor(replace(self.row, tokens_valid_after=cut_off))


ACTIONS = st.sampled_from(["revoke", "undo", "renew", "confirm"])


@given(st.lists(st.tuples(ACTIONS, TIMES), max_size=12))
@example([("renew", 1_000.5), ("revoke", 1_003.5), ("undo", 1_004.5)])
@example([("revoke", 1_003.5), ("renew", 1_000.5), ("undo", 1_004.5)])
@example([("renew", 1_003.5), ("renew", 1_000.5)])
def test_bounds_after_any_actions(steps):
    """
    No renewal is lost, and none signs a user out, even if the clock is set back.

    The Stream bound is never below a renewal, and the floor never below a bound that ever was.
    """
    user, highest = Model(), 0
    for action, now in steps:
        before = user.row
        user.step(action, now)
        after = user.row
        renewal, bound = after.latest_renewal or 0, after.stream_bound or 0
        highest = max(highest, bound)
        assert after.floor == highest
        assert bound == max(after.tokens_valid_after or 0, renewal)
        assert renewal >= (before.latest_renewal or 0)
        if action in {"renew", "confirm"}:
            assert after.tokens_valid_after == before.tokens_valid_after
            assert (after.suspended_at, after.epoch) == (before.suspended_at, before.epoch)
        if action == "renew":
            assert bound > now
        if action == "confirm":
            assert after.renewal_confirmed


@given(now=st.integers(1_000, 2**33), first=st.floats(0, 0.99), second=st.floats(0, 0.99))
def test_renewals_within_one_second_have_one_bound(now, first, second):
    once = renewed(StoredStanding(), now + first)
    assert renewed(with_confirmed_renewal(once, now + first), now + second) == once


@given(
    locked=TIMES,
    commit=PAUSES,
    response=PAUSES,
    earlier=PAUSES,
    floor=PAUSES,
    later=PAUSES,
    skew=SKEWS,
)
@example(locked=1_000.5, commit=0.4, response=0.0, earlier=0.0, floor=0.0, later=0.0, skew=0)
@example(locked=1_000.5, commit=0.5, response=0.0, earlier=0.0, floor=0.0, later=0.0, skew=0)
@example(locked=1_000.5, commit=3.0, response=0.0, earlier=0.0, floor=0.0, later=1.0, skew=0)
def test_renewal_refuses_every_earlier_token_and_no_later_one(
    *, locked, commit, response, earlier, floor, later, skew
):
    """However long the commit takes: a mint in the same second waits until the bound is over."""
    committed = locked + commit
    written = with_floor(renewed(StoredStanding(), locked))
    answered = committed + response
    confirmed = with_floor(with_confirmed_renewal(written, answered))
    bound = confirmed.stream_bound
    assert not has_passed(bound, answered)
    read = committed - earlier
    old = issued_at(read_of(StoredStanding(floor=int(read - floor)), read), skew)
    assert old < bound
    new = issued_at(read_of(confirmed, answered + later), skew)
    assert new is None if int(answered + later) < bound else new >= bound
