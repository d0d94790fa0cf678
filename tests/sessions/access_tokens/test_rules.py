"""What the rotation of signing keys does by itself, at any time and after any action."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sessions.access_tokens.signing import PERIODS, UNTIL_ACTIVE, UNTIL_RETIRED
from tokensvc.sessions.access_tokens.rules import SigningKeyInfo, due_changes
from tokensvc.stream.keys.states import KeyState

NOW = 1_800_000_000


def key(state, number=1, **times):
    return SigningKeyInfo(
        id=f"sig_{number}",
        state=KeyState(state),
        fingerprint="f" * 16,
        created_at=times.get("created_at", NOW),
        activated_at=times.get("activated_at"),
        retiring_at=times.get("retiring_at"),
        retired_at=times.get("retired_at"),
    )


def changes(*keys, now=NOW):
    """Return the new state of each key that changes, and of the key to make."""
    due = due_changes(keys, PERIODS, now)
    return {step.key.id: str(step.to) for step in due.transitions}, due.new_key


def test_empty_ring_gets_an_active_key():
    assert changes() == ({}, "active")
    assert changes(key("retired", retired_at=NOW)) == ({}, "active")


def test_standby_is_activated_when_its_publication_has_reached_every_verifier():
    ring = key("standby", 2), key("active", activated_at=NOW)
    assert changes(*ring, now=NOW + UNTIL_ACTIVE - 1) == ({}, None)
    assert changes(*ring, now=NOW + UNTIL_ACTIVE) == (
        {"sig_1": "retiring", "sig_2": "active"},
        None,
    )


def test_standby_is_activated_immediately_if_no_key_is_active():
    assert changes(key("standby")) == ({"sig_1": "active"}, None)


def test_retiring_key_is_retired_when_its_last_token_has_expired():
    ring = key("active", 2, activated_at=NOW), key("retiring", retiring_at=NOW)
    assert changes(*ring, now=NOW + UNTIL_RETIRED - 1) == ({}, None)
    assert changes(*ring, now=NOW + UNTIL_RETIRED) == ({"sig_1": "retired"}, None)


def test_old_active_key_gets_one_successor():
    active = key("active", activated_at=NOW)
    assert changes(active, now=NOW + PERIODS.rotation - 1) == ({}, None)
    assert changes(active, now=NOW + PERIODS.rotation) == ({}, "standby")
    standby = key("standby", 2, created_at=NOW + PERIODS.rotation)
    assert changes(standby, active, now=NOW + PERIODS.rotation) == ({}, None)


@pytest.mark.parametrize("seconds", [-1, -UNTIL_ACTIVE + 1])
def test_clock_that_was_set_back_a_little_activates_nothing(seconds):
    ring = key("standby", 2), key("active", activated_at=NOW)
    assert changes(*ring, now=NOW + seconds) == ({}, None)


def test_clock_that_was_set_back_by_years_does_not_stop_the_rotation():
    ring = key("standby", 2), key("active", activated_at=NOW)
    years_ago = NOW - 10 * 365 * 86400
    assert changes(*ring, now=years_ago) == ({"sig_1": "retiring", "sig_2": "active"}, None)


class Ring:
    """A ring that changes as the database does: each step is applied in its order."""

    def __init__(self):
        self.now = NOW
        self.keys = []
        self.published_at = {}

    def set_state(self, key_id, state):
        column = {"active": "activated_at", "retiring": "retiring_at", "retired": "retired_at"}
        times = {column[state]: self.now}
        self.keys = [
            msgspec.structs.replace(key, state=KeyState(state), **times)
            if key.id == key_id
            else key
            for key in self.keys
        ]
        for unique in ("standby", "active"):
            assert sum(key.state == unique for key in self.keys) <= 1, f"two keys are {unique}"

    def make(self, state):
        assert self.in_state(state) is None
        times = {"activated_at": self.now} if state == "active" else {}
        made = key(state, len(self.keys) + 1, created_at=self.now, **times)
        self.keys.insert(0, made)
        self.published_at[made.id] = self.now

    def in_state(self, state):
        return next((key for key in self.keys if key.state == state), None)

    def step(self):
        due = due_changes(self.keys, PERIODS, self.now)
        for transition in due.transitions:
            self.set_state(transition.key.id, str(transition.to))
        if due.new_key is not None:
            self.make(str(due.new_key))


ACTIONS = st.one_of(
    st.integers(1, 2 * UNTIL_RETIRED),
    st.just(PERIODS.rotation),
    st.just("rotate"),
    st.sampled_from(["retire standby", "retire retiring"]),
)


@given(st.lists(ACTIONS, max_size=30))
def test_any_actions_leave_one_active_key_whose_tokens_verify_until_they_expire(actions):
    """Unless an action retired their key; and each key is published before it signs."""
    ring = Ring()
    ring.step()
    first = ring.in_state("active").id
    signed_until, withdrawn = {}, set()
    for action in actions:
        signed_until[ring.in_state("active").id] = ring.now + PERIODS.verification
        if action == "rotate" and ring.in_state("standby") is None:
            ring.make("standby")
        elif isinstance(action, str) and action.startswith("retire"):
            chosen = ring.in_state(action.removeprefix("retire "))
            if chosen is not None:
                ring.set_state(chosen.id, "retired")
                withdrawn.add(chosen.id)
        elif isinstance(action, int):
            ring.now += action
        ring.step()
        active = ring.in_state("active")
        if active.id != first:
            assert active.activated_at - ring.published_at[active.id] >= PERIODS.publication
        for found in ring.keys:
            is_valid = signed_until.get(found.id, 0) > ring.now
            assert not found.is_retired or not is_valid or found.id in withdrawn
        assert sum(not found.is_retired for found in ring.keys) <= 4
