"""Transitions of the key ring, for all rings and all orders of actions."""

from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.errors import Code, Refusal
from tokensvc.stream.keys.rules import (
    StreamKey,
    StreamKeyInfo,
    activation_steps,
    check_new_key,
    warn_of_unnamed,
)
from tokensvc.stream.keys.states import KeyState, Transition, find, retirement_steps
from tokensvc.vault.rules import fingerprint

SECRET = b"secret-of-the-dashboard-0123456789"
API_KEYS = ("k1", "k2", "k3")


def key(place, api_key="k1", state="standby", secret=SECRET):
    """Return a key; the lower its place, the newer it is."""
    return StreamKeyInfo(
        id=f"key_{place}",
        api_key=api_key,
        state=KeyState(state),
        fingerprint=fingerprint(secret),
        created_at=1000 - place,
        activated_at=None,
        retired_at=None,
    )


def applied(keys, transitions):
    """Return the ring after transitions, applied one by one as the database does."""
    for step in transitions:
        keys = [
            msgspec.structs.replace(other, state=step.to) if other.id == step.key.id else other
            for other in keys
        ]
        assert sum(other.state is KeyState.ACTIVE for other in keys) <= 1, "two keys are active"
    return keys


@st.composite
def rings(draw):
    """Return a ring as actions leave one: at most one active key, no Stream key live twice."""
    states = draw(st.lists(st.sampled_from(["standby", "retiring", "retired"]), max_size=6))
    if states and draw(st.booleans()):
        states[draw(st.integers(0, len(states) - 1))] = "active"
    return [
        key(place, draw(st.sampled_from(API_KEYS)), state, b"%032d" % place)
        for place, state in enumerate(states)
    ]


@given(rings(), st.integers(0, 5))
def test_activated_key_is_the_only_active_one(keys, place):
    """At no step are two keys active, and a repetition changes nothing."""
    if place >= len(keys):
        return
    chosen = keys[place]
    if chosen.state is KeyState.RETIRED:
        return
    after = applied(keys, activation_steps(keys, chosen.id))
    assert [other.id for other in after if other.state is KeyState.ACTIVE] == [chosen.id]
    assert activation_steps(after, chosen.id) == ()
    for before, now in zip(keys, after, strict=True):
        if before.state is KeyState.RETIRED:
            assert now.state is KeyState.RETIRED
        if now.state is not before.state and now.id != chosen.id:
            assert (before.state, now.state) == (KeyState.ACTIVE, KeyState.RETIRING) or (
                now.state is KeyState.RETIRED and now.api_key == chosen.api_key
            )


@given(rings(), st.integers(0, 5))
def test_previous_key_can_be_activated_again(keys, place):
    if place >= len(keys) or keys[place].state is KeyState.RETIRED:
        return
    previous = next((other for other in keys if other.state is KeyState.ACTIVE), None)
    if previous is None or previous.api_key == keys[place].api_key:
        return
    after = applied(keys, activation_steps(keys, keys[place].id))
    assert find(after, previous.id).state is KeyState.RETIRING
    back = applied(after, activation_steps(after, previous.id))
    assert find(back, previous.id).state is KeyState.ACTIVE
    assert find(back, keys[place].id).state is KeyState.RETIRING


@given(rings(), st.integers(0, 5))
def test_retired_key_stays_retired_and_no_other_key_changes(keys, place):
    if place >= len(keys) or keys[place].state is KeyState.ACTIVE:
        return
    chosen = keys[place]
    after = applied(keys, retirement_steps(keys, chosen.id, if_active=""))
    changed = [now for before, now in zip(keys, after, strict=True) if before != now]
    assert changed == ([] if chosen.state is KeyState.RETIRED else [find(after, chosen.id)])
    assert find(after, chosen.id).state is KeyState.RETIRED
    assert retirement_steps(after, chosen.id, if_active="") == ()


@pytest.mark.parametrize(
    ("steps", "state", "next_action"),
    [
        (activation_steps, "retired", "add"),
        (partial(retirement_steps, if_active="Rotate first."), "active", "Rotate first."),
    ],
)
def test_key_in_the_wrong_state_for_an_action_gets_conflict(steps, state, next_action):
    with pytest.raises(Refusal) as refused:
        steps([key(0, "k1", state), key(1, "k2")], "key_0")
    assert refused.value.code is Code.CONFLICT
    assert next_action in refused.value.detail


@pytest.mark.parametrize(
    ("before", "chosen", "after"),
    [
        (["standby k1", "active k1"], 0, ["active k1", "retired k1"]),
        (["standby k1", "active k2", "retiring k1"], 0, ["active k1", "retiring k2", "retired k1"]),
        (["standby k1", "standby k1", "active k1"], 0, ["active k1", "retired k1", "retired k1"]),
        (["standby k1", "active k2", "retiring k1"], 2, ["standby k1", "retiring k2", "active k1"]),
        (["standby k1", "active k1"], 1, ["standby k1", "active k1"]),
        (["standby k2", "active k1"], 0, ["active k2", "retiring k1"]),
    ],
)
def test_activation_retires_older_secrets_of_the_api_key(before, chosen, after):
    """A newer secret that was never activated stays."""
    keys = [
        key(place, text.split()[1], text.split()[0], b"%032d" % place)
        for place, text in enumerate(before)
    ]
    states = [other.state for other in applied(keys, activation_steps(keys, keys[chosen].id))]
    assert states == [KeyState(text.split()[0]) for text in after]


@pytest.mark.sec(21)
@pytest.mark.parametrize(
    ("state", "api_key", "secret", "accepted"),
    [
        ("active", "k2", SECRET, True),
        ("active", "k1", SECRET + b"!", True),
        ("retired", "k1", SECRET, True),
        ("active", "k1", SECRET, False),
        ("standby", "k1", SECRET, False),
        ("retiring", "k1", SECRET, False),
        ("active", "k2", b"s" * 31, False),
        ("active", "k2", b"s" * 32, True),
        ("active", "", SECRET, False),
        ("active", "k 2", SECRET, False),
        ("active", "k2\n", SECRET, False),
        ("active", "k" * 255, SECRET, True),
        ("active", "k" * 256, SECRET, False),
    ],
)
def test_invalid_or_live_pair_is_refused(state, api_key, secret, accepted):
    """The refusal does not contain the secret."""
    keys = [key(0, "k1", state)]
    new = StreamKey(api_key, secret, KeyState.STANDBY)
    if accepted:
        check_new_key(keys, new)
        return
    with pytest.raises(Refusal) as refused:
        check_new_key(keys, new)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert secret.decode() not in refused.value.detail


@pytest.mark.parametrize(
    ("previous", "next_one", "count", "warns"),
    [("k1", "k2", 7, True), ("k1", "k2", 0, False), ("k1", "k1", 7, False), (None, "k2", 7, False)],
)
def test_activation_warns_of_unnamed_mints_if_the_api_key_changes(previous, next_one, count, warns):
    transitions = [Transition(key(0, next_one), KeyState.ACTIVE)]
    if previous is not None:
        transitions.insert(0, Transition(key(1, previous, "active"), KeyState.RETIRING))
    warning = warn_of_unnamed(transitions, count)
    assert (warning is not None) == warns
    if warns:
        assert " 7 tokens" in warning
        assert "43" in warning
    assert warn_of_unnamed([], count) is None
