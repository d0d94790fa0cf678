"""What an act makes of the ring of Stream keys, over all rings and all orders of acts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.errors import Code, Refusal
from tokensvc.keys.rules import (
    KeyState,
    StreamKeyInfo,
    Transition,
    activation_steps,
    check_pair,
    find,
    fingerprint,
    retirement_steps,
    warn_of_unnamed,
)

SECRET = b"secret-of-the-dashboard-0123456789"
API_KEYS = ("k1", "k2", "k3")


def key(place, api_key="k1", state="standby", secret=SECRET):
    """Give a key; the lower its place, the newer it is."""
    return StreamKeyInfo(
        id=f"key_{place}",
        api_key=api_key,
        state=KeyState(state),
        fingerprint=fingerprint(secret),
        created_at=1000 - place,
        activated_at=None,
        retired_at=None,
    )


def moved(keys, moves):
    """Give the ring after moves, made one by one as the database makes them."""
    for move in moves:
        keys = [
            StreamKeyInfo(
                *[getattr(each, name) for name in ("id", "api_key")], move.to, *rest(each)
            )
            if each.id == move.key.id
            else each
            for each in keys
        ]
        assert sum(each.state is KeyState.ACTIVE for each in keys) <= 1, "two active at once"
    return keys


def rest(each):
    return each.fingerprint, each.created_at, each.activated_at, each.retired_at


@st.composite
def rings(draw):
    """Give a ring as acts leave one: at most one active key, no pair live twice."""
    states = draw(st.lists(st.sampled_from(["standby", "retiring", "retired"]), max_size=6))
    if states and draw(st.booleans()):
        states[draw(st.integers(0, len(states) - 1))] = "active"
    return [
        key(place, draw(st.sampled_from(API_KEYS)), state, b"%032d" % place)
        for place, state in enumerate(states)
    ]


@given(rings(), st.integers(0, 5))
def test_an_activated_key_is_the_only_active_one(keys, place):
    """Whatever the ring was; at no point of the way are two active; a repeat changes nothing."""
    if place >= len(keys):
        return
    chosen = keys[place]
    if chosen.state is KeyState.RETIRED:
        with pytest.raises(Refusal) as refused:
            activation_steps(keys, chosen.id)
        assert refused.value.code is Code.CONFLICT
        assert "add" in refused.value.detail
        return
    after = moved(keys, activation_steps(keys, chosen.id))
    assert [each.id for each in after if each.state is KeyState.ACTIVE] == [chosen.id]
    assert activation_steps(after, chosen.id) == ()
    for before, now in zip(keys, after, strict=True):
        if before.state is KeyState.RETIRED:
            assert now.state is KeyState.RETIRED
        if now.state is not before.state and now.id != chosen.id:
            assert (before.state, now.state) == (KeyState.ACTIVE, KeyState.RETIRING) or (
                now.state is KeyState.RETIRED and now.api_key == chosen.api_key
            )


@given(rings(), st.integers(0, 5))
def test_a_key_that_was_active_can_be_active_again(keys, place):
    """A switch to another API key loses nothing: the former key signs and can be switched to."""
    if place >= len(keys) or keys[place].state is KeyState.RETIRED:
        return
    former = next((each for each in keys if each.state is KeyState.ACTIVE), None)
    if former is None or former.api_key == keys[place].api_key:
        return
    after = moved(keys, activation_steps(keys, keys[place].id))
    assert find(after, former.id).state is KeyState.RETIRING
    back = moved(after, activation_steps(after, former.id))
    assert find(back, former.id).state is KeyState.ACTIVE
    assert find(back, keys[place].id).state is KeyState.RETIRING


@given(rings(), st.integers(0, 5))
def test_a_retired_key_stays_so_and_the_active_one_cannot_be(keys, place):
    """Retiring moves one key; not the active one, which has no stand-in yet."""
    if place >= len(keys):
        return
    chosen = keys[place]
    if chosen.state is KeyState.ACTIVE:
        with pytest.raises(Refusal) as refused:
            retirement_steps(keys, chosen.id)
        assert refused.value.code is Code.CONFLICT
        assert "activate another key first" in refused.value.detail
        return
    after = moved(keys, retirement_steps(keys, chosen.id))
    changed = [now for before, now in zip(keys, after, strict=True) if before != now]
    assert changed == ([] if chosen.state is KeyState.RETIRED else [find(after, chosen.id)])
    assert find(after, chosen.id).state is KeyState.RETIRED
    assert retirement_steps(after, chosen.id) == ()


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
def test_a_regenerated_secret_retires_the_older_ones(before, chosen, after):
    """Of the same API key, in the same act. A newer one that was never activated stays."""
    keys = [
        key(place, text.split()[1], text.split()[0], b"%032d" % place)
        for place, text in enumerate(before)
    ]
    states = [each.state for each in moved(keys, activation_steps(keys, keys[chosen].id))]
    assert states == [KeyState(text.split()[0]) for text in after]


@pytest.mark.parametrize("decide", [activation_steps, retirement_steps])
def test_an_unknown_key_is_not_found(decide):
    """Also in an empty ring."""
    for keys in ([], [key(0)]):
        with pytest.raises(Refusal) as refused:
            decide(keys, "key_unknown")
        assert refused.value.code is Code.NOT_FOUND


@pytest.mark.sec(21)
@pytest.mark.parametrize(
    ("state", "api_key", "secret", "taken"),
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
def test_a_pair_is_taken_or_refused(state, api_key, secret, taken):
    """Only an identical live pair is refused, and what cannot be a pair; no text has a secret."""
    keys = [key(0, "k1", state)]
    if taken:
        check_pair(keys, api_key, secret)
        return
    with pytest.raises(Refusal) as refused:
        check_pair(keys, api_key, secret)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert secret.decode() not in refused.value.detail


@pytest.mark.parametrize(
    ("former", "next_one", "count", "warns"),
    [("k1", "k2", 7, True), ("k1", "k2", 0, False), ("k1", "k1", 7, False), (None, "k2", 7, False)],
)
def test_a_switch_warns_of_clients_that_name_no_key(former, next_one, count, warns):
    """Of those that it would break: there are some, and their API key is another one afterwards."""
    moves = [Transition(key(0, next_one), KeyState.ACTIVE)]
    if former is not None:
        moves.insert(0, Transition(key(1, former, "active"), KeyState.RETIRING))
    warning = warn_of_unnamed(moves, count)
    assert (warning is not None) == warns
    if warns:
        assert " 7 tokens" in warning
        assert "43" in warning
    assert warn_of_unnamed([], count) is None
