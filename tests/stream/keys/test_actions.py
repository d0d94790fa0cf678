"""The actions on Stream keys, on both databases; `test_ring_actions` has those of both rings."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import UNSET

from tests.stream.keys.ring import (
    CONTEXT,
    DRY_RUN,
    OTHER_SECRET,
    SECRET,
    add,
    another_process,
    changes,
    current,
    events,
    rotation_of,
    rows,
    version,
)
from tokensvc.core.errors import Code, Refusal
from tokensvc.stream.keys import store
from tokensvc.stream.keys.states import KeyState
from tokensvc.vault.vault import Vault

DAY = 86400


def put(rotation, api_key="k2", secret=OTHER_SECRET, context=CONTEXT):
    return rotation.add(api_key, secret.encode(), context, check=False)


def states(database):
    """Return (API key, state) of all keys, oldest first."""
    return [(api_key, state) for api_key, _, state in rows(database)]


@pytest.mark.sec(37)
def test_activated_key_signs_and_the_previous_one_is_retiring(database, rotation):
    """The previous key still signs for clients that name it."""
    previous = add(database, "k1", "active")
    added = put(rotation)
    result = rotation.activate(added.id, CONTEXT, check=False)
    assert result.state is KeyState.ACTIVE
    assert result.activated_at is not None
    assert [(key.id, key.state) for key in result.also_changed] == [(previous, KeyState.RETIRING)]
    assert changes(database) == 3
    ring = current(another_process(database))
    assert ring.active.api_key == "k2"
    assert ring.named("k1").secret == SECRET.encode()
    assert [action for _, action, *_ in events(database)] == [
        "stream_key:added",
        "stream_key:retiring",
        "stream_key:activated",
    ]


@pytest.mark.sec(37)
def test_repeated_activation_changes_nothing(database, rotation):
    """Neither the version nor the audit trail."""
    added = put(rotation)
    rotation.activate(added.id, CONTEXT, check=False)
    before = (rows(database), version(database), events(database))
    assert rotation.activate(added.id, CONTEXT, check=False).state is KeyState.ACTIVE
    assert (rows(database), version(database), events(database)) == before


def test_unreadable_key_is_not_activated(database, clock):
    """The service would have no key that signs."""
    add(database, "k1", "active")
    chosen = add(database, "k2", "standby", OTHER_SECRET, now=2)
    foreign = rotation_of(database, clock, Vault([Vault.generate_key()]))
    with pytest.raises(Refusal) as refused:
        foreign.activate(chosen, CONTEXT, check=False)
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert states(database) == [("k1", "active"), ("k2", "standby")]


def test_concurrent_activations_leave_one_active_key(database, clock):
    """Each is one version, and is in the audit trail."""
    add(database, "k0", "active")
    ids = [add(database, f"k{number}", "standby", now=number + 1) for number in range(1, 5)]
    barrier = threading.Barrier(4)

    def activate(key_id):
        barrier.wait()
        return rotation_of(database, clock).activate(key_id, CONTEXT, check=False)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(activate, ids))
    assert all(result.state is KeyState.ACTIVE for result in results)
    assert sorted(state for _, state in states(database)) == ["active"] + ["retiring"] * 4
    assert changes(database) == 5 + 4
    assert len(events(database)) == 8


def test_concurrent_additions_add_a_pair_once(database, clock):
    barrier = threading.Barrier(4)

    def attempt(_):
        barrier.wait()
        try:
            return put(rotation_of(database, clock)).state
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(4) as pool:
        results = sorted(pool.map(attempt, range(4)))
    assert results == [KeyState.STANDBY] + [Code.STREAM_KEY_INVALID] * 3
    assert (len(rows(database)), changes(database)) == (1, 1)


def test_activation_returns_unnamed_mints_of_24_hours(database, rotation):
    """With a warning if it changes the active key, in a dry run too."""
    add(database, "k1", "active")
    added = put(rotation)
    with database.write() as tx:
        now = rotation._clock.read(tx)
        hour = int(now // 3600 * 3600)
        store.add_unnamed_mints(tx, hour, 4)
        store.add_unnamed_mints(tx, hour, 1)
        store.add_unnamed_mints(tx, hour - 23 * 3600, 10)
        store.add_unnamed_mints(tx, hour - 26 * 3600, 100)
    for context in (DRY_RUN, CONTEXT):
        result = rotation.activate(added.id, context, check=False)
        assert result.unnamed_mints == 15
        assert " 15 tokens" in result.warning
    again = rotation.activate(added.id, CONTEXT, check=False)
    assert (again.unnamed_mints, again.warning) == (15, UNSET)


def test_unnamed_mints_are_deleted_after_a_week(database):
    with database.write() as tx:
        store.add_unnamed_mints(tx, 0, 5)
        store.add_unnamed_mints(tx, 8 * DAY, 1)
        assert store.unnamed_mints_since(tx, 0) == 1
