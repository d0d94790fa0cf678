"""What a presented refresh token does: each rule, and random histories."""

from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tokensvc.sessions.rules import (
    Advance,
    Cause,
    Confirm,
    EndReplayed,
    Family,
    Origin,
    Reject,
    ReturnCurrent,
    decide_refresh,
    expires_at,
    why_dead,
)
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import Epochs

START = 1_800_000_000.0
SETTINGS = SessionSettings()
GRACE = SETTINGS.reuse_grace
HOME, CAFE = Origin("home", "home network"), Origin("cafe", "cafe network")
OTHER_ROOM = Origin("other room", "home network")
NEW = Family(
    id="family",
    user_id="ada",
    client_id="app",
    counter=0,
    rotated_at=None,
    created_at=START,
    last_used_at=START,
    epochs=Epochs(user=3, app=1),
    ended_at=None,
    rotated_from=HOME,
)
ROTATED = replace(
    NEW, counter=5, rotated_at=START + 1000, last_used_at=START + 1000, confirmed_counter=4
)
CONFIRMED = replace(ROTATED, confirmed_counter=5)


def decide(family, counter, *, after=0.0, client_id="app", origin=HOME, standing=NEW.epochs):
    """Decide `after` seconds after the last rotation, or the sign-in."""
    return decide_refresh(
        family,
        presented_counter=counter,
        client_id=client_id,
        origin=origin,
        epochs=standing,
        now=family.last_used_at + after,
        settings=SETTINGS,
    )


def test_first_refresh_advances_immediately():
    """A sign-in is not a rotation: it opens no window."""
    now = START + 0.5
    assert decide(NEW, 0, after=0.5) == Advance(
        replace(NEW, counter=1, rotated_at=now, last_used_at=now), renews_address=False
    )


@pytest.mark.parametrize("after", [0, GRACE - 0.001, -GRACE + 0.001])
def test_current_token_and_predecessor_get_the_current_one_in_the_window(after):
    """The first use of the current one is stored."""
    assert decide(ROTATED, 4, after=after) == ReturnCurrent(ROTATED)
    assert decide(ROTATED, 5, after=after) == Confirm(CONFIRMED)
    for counter in (4, 5):
        assert decide(CONFIRMED, counter, after=after) == ReturnCurrent(CONFIRMED)


def test_predecessor_from_another_network_is_reported_and_replayed_once_the_successor_was_used():
    """In the same network a second tab may be late, with another address too."""
    assert decide(ROTATED, 4, origin=CAFE) == ReturnCurrent(ROTATED, from_elsewhere=True)
    ended = replace(CONFIRMED, ended_at=CONFIRMED.last_used_at)
    assert decide(CONFIRMED, 4, origin=CAFE) == EndReplayed(ended, Cause.REPLAYED_ELSEWHERE)
    assert decide(CONFIRMED, 4, origin=OTHER_ROOM) == ReturnCurrent(CONFIRMED)


def test_origin_of_a_rotation_by_the_previous_release_is_unknown():
    family = replace(CONFIRMED, rotated_from=None)
    assert decide(family, 4, origin=CAFE) == ReturnCurrent(family)


@pytest.mark.parametrize("origin", [HOME, CAFE])
def test_current_token_advances_in_any_network(origin):
    decision = decide(CONFIRMED, 5, after=GRACE, origin=origin)
    assert (decision.family.counter, decision.family.rotated_from) == (6, origin)


@pytest.mark.parametrize(
    ("rotated_from", "origin", "after", "renews"),
    [
        (HOME, HOME, GRACE, False),
        (HOME, HOME, 86400, True),
        (HOME, OTHER_ROOM, GRACE, True),
        (None, HOME, GRACE, True),
    ],
)
def test_first_rotation_of_a_day_at_an_address_renews_it(rotated_from, origin, after, renews):
    family = replace(ROTATED, rotated_from=rotated_from)
    assert decide(family, 5, after=after, origin=origin).renews_address is renews


@pytest.mark.parametrize("after", [GRACE, 86400, -GRACE])
def test_current_token_advances_after_the_window(after):
    """Also if the clock was set back by more than the window: the session continues."""
    decision = decide(ROTATED, 5, after=after)
    now = ROTATED.last_used_at + after
    rotated = replace(ROTATED, counter=6, rotated_at=now, last_used_at=now)
    assert decision == Advance(rotated, renews_address=after == 86400)


@pytest.mark.parametrize(
    ("counter", "after", "cause"),
    [
        (4, GRACE, Cause.REPLAYED_RECENT),
        (4, 86400, Cause.REPLAYED_RECENT),
        (3, 0, Cause.REPLAYED_STALE),
        (0, 86400, Cause.REPLAYED_STALE),
    ],
)
def test_late_predecessor_or_older_token_ends_the_family(counter, after, cause):
    decision = decide(ROTATED, counter, after=after)
    ended = replace(ROTATED, ended_at=ROTATED.last_used_at + after)
    assert decision == EndReplayed(ended, cause)


@pytest.mark.parametrize("counter", [0, 4, 5, 6])
def test_token_of_another_client_changes_nothing(counter):
    decision = decide(ROTATED, counter, client_id="other", after=86400)
    assert decision == Reject(Cause.OTHER_CLIENT)


@pytest.mark.parametrize("counter", [0, 4, 5, 6])
def test_token_of_an_ended_family_changes_nothing(counter):
    ended = replace(ROTATED, ended_at=ROTATED.last_used_at)
    assert decide(ended, counter, after=1) == Reject(Cause.ENDED)


def test_counter_above_that_of_the_family_changes_nothing():
    """A restored backup knows no later tokens."""
    assert decide(ROTATED, 6) == Reject(Cause.UNKNOWN_COUNTER)


@pytest.mark.parametrize("standing", [Epochs(4, 1), Epochs(3, 2), Epochs(2, 1)])
@pytest.mark.parametrize("counter", [0, 4, 5])
def test_family_of_another_epoch_is_rejected(standing, counter):
    assert decide(ROTATED, counter, standing=standing) == Reject(Cause.REVOKED)


@pytest.mark.parametrize("counter", [0, 4, 5])
def test_idle_family_is_rejected(counter):
    assert not isinstance(decide(ROTATED, 5, after=SETTINGS.idle_ttl - 1), Reject)
    assert decide(ROTATED, counter, after=SETTINGS.idle_ttl) == Reject(Cause.IDLE)


def test_family_in_use_expires():
    used = replace(ROTATED, last_used_at=START + SETTINGS.absolute_ttl - 1)
    assert not isinstance(decide(used, 5, after=0.9), Reject)
    assert decide(used, 5, after=1) == Reject(Cause.EXPIRED)


@pytest.mark.parametrize("last_used_after", [1000, SETTINGS.absolute_ttl - 1])
def test_family_is_dead_from_its_end_on(last_used_after):
    family = replace(ROTATED, last_used_at=START + last_used_after)
    end = expires_at(family, SETTINGS)
    assert why_dead(family, family.epochs, end - 0.001, SETTINGS) is None
    assert why_dead(family, family.epochs, end, SETTINGS) in {Cause.IDLE, Cause.EXPIRED}


any_origin = st.sampled_from([HOME, HOME, OTHER_ROOM, CAFE])


class History(RuleBasedStateMachine):
    """
    One family, several tabs of one client, a thief, and a clock that only moves on.

    `tokens` has the counters that each tab holds. A response can be lost, so that a tab keeps the
    token it has presented.
    """

    def __init__(self):
        super().__init__()
        self.now = START
        self.family = NEW
        self.standing = NEW.epochs
        self.tokens = [0, 0, 0]
        self.advances = []

    @rule(seconds=st.sampled_from([0, 0.1, 1, 10, GRACE - 0.5, GRACE, 3600, 86400, 20 * 86400]))
    def wait(self, seconds):
        self.now += seconds

    @rule(tab=st.integers(0, 2), is_lost=st.booleans(), origin=any_origin)
    def refresh(self, tab, is_lost, origin):
        received = self._present(self.tokens[tab], origin=origin)
        if received is not None and not is_lost:
            self.tokens[tab] = received

    @rule(
        counter=st.integers(0, 30), client_id=st.sampled_from(["app", "other"]), origin=any_origin
    )
    def replay(self, counter, client_id, origin):
        """Present any token of the family, or one that is not made yet."""
        self._present(counter, client_id, origin)

    @rule()
    def refresh_all_tabs(self):
        """In one window, all tabs that are up to date get the same token."""
        holders = [tab for tab, token in enumerate(self.tokens) if token == self.family.counter]
        received = [self._present(self.tokens[tab]) for tab in holders]
        assert len(set(received)) <= 1
        for tab, token in zip(holders, received, strict=True):
            self.tokens[tab] = self.tokens[tab] if token is None else token

    @rule()
    def revoke(self):
        self.standing = replace(self.standing, user=self.standing.user + 1)

    def _present(self, counter, client_id="app", origin=HOME):
        """Return the counter of the token in the response; `None` if it is refused."""
        before = self.family
        decision = decide_refresh(
            before,
            presented_counter=counter,
            client_id=client_id,
            origin=origin,
            epochs=self.standing,
            now=self.now,
            settings=SETTINGS,
        )
        if isinstance(decision, Reject):
            return None
        self.family = decision.family
        self._check(before, counter, origin, decision)
        return None if isinstance(decision, EndReplayed) else decision.family.counter

    def _check(self, before, counter, origin, decision):
        """Check what holds for every decision that is not a plain refusal."""
        assert before.ended_at is None, "nothing revives an ended family"
        assert before.epochs == self.standing, "nothing revives a revoked family"
        assert self.now < START + SETTINGS.absolute_ttl
        assert self.now < before.last_used_at + SETTINGS.idle_ttl
        is_elsewhere = origin.network != before.rotated_from.network
        is_confirmed = before.confirmed_counter == before.counter
        opened_at = self.advances[-1] if self.advances else None
        in_window = opened_at is not None and self.now - opened_at < GRACE
        if isinstance(decision, Advance):
            assert not in_window, "at most one advance per window"
            assert counter == before.counter
            assert decision.family.counter == before.counter + 1
            self.advances.append(self.now)
        elif isinstance(decision, ReturnCurrent):
            assert in_window, "the window never slides"
            assert counter in {before.counter, before.counter - 1}
            is_predecessor = counter < before.counter
            assert decision.from_elsewhere is (is_predecessor and is_elsewhere)
            assert not (decision.from_elsewhere and is_confirmed)
            assert decision.family == before
        elif isinstance(decision, Confirm):
            assert in_window
            assert counter == before.counter != before.confirmed_counter
            assert decision.family == replace(before, confirmed_counter=counter)
        else:
            assert counter < before.counter
            is_late = counter < before.counter - 1 or not in_window
            assert is_late or (is_elsewhere and is_confirmed)
            assert decision.family == replace(before, ended_at=self.now)

    @invariant()
    def late_use_ends_the_family(self):
        """Whatever happens, an older token and the current one never both continue."""
        if why_dead(self.family, self.standing, self.now, SETTINGS) or self.family.counter < 2:
            return
        decision = decide_refresh(
            self.family,
            presented_counter=self.family.counter - 2,
            client_id="app",
            origin=HOME,
            epochs=self.standing,
            now=self.now,
            settings=SETTINGS,
        )
        assert isinstance(decision, EndReplayed)


TestHistory = History.TestCase
TestHistory.settings = hypothesis_settings(max_examples=100, stateful_step_count=30, deadline=None)
