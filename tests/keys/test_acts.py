"""The acts on SQLite and PostgreSQL: each whole or not at all, seen by every process, audited."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tests.keys.ring import (
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    another_process,
    events,
    rotation_of,
    rows,
    version,
)
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.tables import stream_keys
from tokensvc.keys import store
from tokensvc.keys.rules import KeyState, fingerprint
from tokensvc.keys.vault import Vault

CONTEXT = ActionContext("svc.ops", "yearly")
REHEARSAL = ActionContext("svc.ops", "yearly", dry_run=True)
DAY = 86400


def put(rotation, api_key="k2", secret=OTHER_SECRET, context=CONTEXT):
    return rotation.add(api_key, secret.encode(), context, check=False)


def states(database):
    """Give the states by API key, oldest key first."""
    return [(api_key, state) for api_key, _, state in rows(database)]


def ciphertexts(database):
    columns = stream_keys.c
    query = sa.select(columns.secret_ciphertext, columns.wrapped_by).order_by(
        columns.created_at, columns.id
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_a_key_is_added_as_standby(database, rotation):
    """It signs for those that name it, from the next read of the version on."""
    add(database, "k1", "active")
    copy = another_process(database)
    assert copy.ring_at(1).named("k2") is None
    added = put(rotation)
    assert added.state is KeyState.STANDBY
    assert (added.api_key, added.fingerprint) == ("k2", fingerprint(OTHER_SECRET.encode()))
    assert (added.activated_at, added.retired_at) == (None, None)
    assert version(database) == 2
    ring = copy.ring_at(2)
    assert ring.named("k2").secret == OTHER_SECRET.encode()
    assert ring.active.api_key == "k1"
    assert rotation.one(added.id) == added
    assert events(database) == [("svc.ops", "stream_key:added", "yearly")]


@pytest.mark.sec(37)
def test_an_activated_key_signs_and_the_former_one_is_retiring(database, rotation):
    """One version further, both moves audited; the former still signs for those that name it."""
    former = add(database, "k1", "active")
    added = put(rotation)
    moved = rotation.activate(added.id, CONTEXT)
    assert moved.key.state is KeyState.ACTIVE
    assert moved.key.activated_at is not None
    assert [(key.id, key.state) for key in moved.others] == [(former, KeyState.RETIRING)]
    assert version(database) == 3
    ring = another_process(database).ring_at(3)
    assert ring.active.api_key == "k2"
    assert ring.named("k1").secret == SECRET.encode()
    assert [action for _, action, _ in events(database)] == [
        "stream_key:added",
        "stream_key:retiring",
        "stream_key:activated",
    ]


def test_a_switch_can_be_taken_back(database, rotation):
    """The former key is active again, and the other one is retiring."""
    former = add(database, "k1", "active")
    added = put(rotation)
    rotation.activate(added.id, CONTEXT)
    moved = rotation.activate(former, CONTEXT)
    assert moved.key.state is KeyState.ACTIVE
    assert states(database) == [("k1", "active"), ("k2", "retiring")]


@pytest.mark.sec(37)
def test_a_retired_key_is_erased_at_once(database, rotation):
    """No ciphertext of it is left, and no ring that knows the version has it."""
    former = add(database, "k1", "active")
    rotation.activate(put(rotation).id, CONTEXT)
    copy = another_process(database)
    copy.ring_at(version(database))
    moved = rotation.retire(former, CONTEXT)
    assert moved.key.state is KeyState.RETIRED
    assert moved.key.retired_at is not None
    assert "dashboard" in moved.warning
    assert ciphertexts(database)[0] == (None, None)
    assert copy.ring_at(version(database)).named("k1") is None
    assert events(database)[-1] == ("svc.ops", "stream_key:retired", "yearly")


def test_a_regenerated_secret_replaces_the_former_in_one_act(database, rotation):
    """The old row is retired and erased with the switch: a client gets the new one, no gap."""
    former = add(database, "k1", "active")
    added = put(rotation, "k1", OTHER_SECRET)
    copy = another_process(database)
    assert copy.ring_at(2).named("k1").secret == SECRET.encode()
    moved = rotation.activate(added.id, CONTEXT)
    assert [(key.id, key.state) for key in moved.others] == [(former, KeyState.RETIRED)]
    ring = copy.ring_at(3)
    assert ring.named("k1").secret == ring.active.secret == OTHER_SECRET.encode()
    assert ciphertexts(database)[0] == (None, None)


@pytest.mark.sec(37)
def test_a_repeat_changes_nothing(database, rotation):
    """Neither version nor trail moves when an act has been done already."""
    former = add(database, "k1", "active")
    added = put(rotation)
    rotation.activate(added.id, CONTEXT)
    rotation.retire(former, CONTEXT)
    before = (rows(database), version(database), events(database))
    assert rotation.activate(added.id, CONTEXT).key.state is KeyState.ACTIVE
    assert rotation.retire(former, CONTEXT).key.state is KeyState.RETIRED
    assert (rows(database), version(database), events(database)) == before


@pytest.mark.sec(37)
def test_a_rehearsal_changes_nothing(database, rotation):
    """It tells what would come of each act, and leaves rows, version and trail alone."""
    former = add(database, "k1", "active")
    added = put(rotation)
    before = (rows(database), ciphertexts(database), version(database), events(database))
    assert put(rotation, "k3", context=REHEARSAL).state is KeyState.STANDBY
    moved = rotation.activate(added.id, REHEARSAL)
    assert moved.key.state is KeyState.ACTIVE
    assert [(key.id, key.state) for key in moved.others] == [(former, KeyState.RETIRING)]
    assert rotation.retire(added.id, REHEARSAL).key.state is KeyState.RETIRED
    assert (rows(database), ciphertexts(database), version(database), events(database)) == before


@pytest.mark.sec(37)
@pytest.mark.parametrize(
    ("act", "state", "told"),
    [
        ("activate", "retired", "add the pair again"),
        ("retire", "active", "activate another key first"),
    ],
)
def test_an_act_that_cannot_be_is_refused(database, rotation, act, state, told):
    """The refusal says what to do first; nothing is changed."""
    chosen = add(database, "k1", state)
    add(database, "k2", "standby", now=2)
    before = (rows(database), version(database))
    with pytest.raises(Refusal) as refused:
        getattr(rotation, act)(chosen, CONTEXT)
    assert refused.value.code is Code.CONFLICT
    assert told in refused.value.detail
    assert (rows(database), version(database), events(database)) == (*before, [])


def test_a_pair_that_was_retired_may_come_again(database, rotation):
    """As a row of its own; the retired one stays retired."""
    add(database, "k1", "active")
    first = put(rotation)
    rotation.retire(first.id, CONTEXT)
    again = put(rotation)
    assert again.id > first.id
    assert [key.state for key in rotation.page(after=None, limit=9)] == [
        KeyState.STANDBY,
        KeyState.RETIRED,
        KeyState.ACTIVE,
    ]


@pytest.mark.parametrize(
    ("api_key", "secret"), [("k1", SECRET), ("k2", "x" * 31), ("k2", "é" * 15), ("", SECRET)]
)
def test_a_pair_of_no_use_is_not_stored(database, rotation, api_key, secret):
    """Neither an identical live pair, nor one that is too short, nor one without a name."""
    add(database, "k1", "active")
    with pytest.raises(Refusal) as refused:
        put(rotation, api_key, secret)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert (len(rows(database)), version(database), events(database)) == (1, 1, [])


def test_a_key_that_cannot_be_read_is_not_activated(database, clock):
    """A process that lacks the encryption key would leave the service without a signer."""
    add(database, "k1", "active")
    chosen = add(database, "k2", "standby", OTHER_SECRET, now=2)
    foreign = rotation_of(database, clock, Vault([Vault.generate_key()]))
    with pytest.raises(Refusal) as refused:
        foreign.activate(chosen, CONTEXT)
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert states(database) == [("k1", "active"), ("k2", "standby")]


def test_keys_are_paged_newest_first(database, rotation):
    """Pages meet without a gap, also where keys are of one second."""
    ids = [put(rotation, f"k{number}").id for number in range(5)]
    seen, after = [], None
    while page := rotation.page(after=after, limit=2):
        seen += [key.id for key in page]
        after = seen[-1]
    assert seen == ids[::-1]
    assert rotation.page(after="key_unknown", limit=2) == []


def test_an_older_clock_does_not_make_an_older_key(database, rotation, clock):
    """The newest secret of an API key is the one that was added last, whatever the clock says."""
    add(database, "k0", "active")
    put(rotation, "k1", SECRET)
    clock.now -= 1000
    put(rotation, "k1", OTHER_SECRET)
    ring = another_process(database).ring_at(3)
    assert ring.named("k1").secret == OTHER_SECRET.encode()


def test_one_active_key_at_most(database):
    """The database itself refuses a second one."""
    add(database, "k1", "active")
    with pytest.raises(sa.exc.IntegrityError):
        add(database, "k2", "active", OTHER_SECRET, now=2)


def test_acts_at_once_leave_one_active_key(database, clock):
    """Whoever is last has the last word; every act is one version and is in the trail."""
    add(database, "k0", "active")
    ids = [add(database, f"k{number}", "standby", now=number + 1) for number in range(1, 5)]
    barrier = threading.Barrier(4)

    def activate(key_id):
        barrier.wait()
        return rotation_of(database, clock).activate(key_id, CONTEXT)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(activate, ids))
    assert all(answer.key.state is KeyState.ACTIVE for answer in answers)
    assert sorted(state for _, state in states(database)) == ["active"] + ["retiring"] * 4
    assert version(database) == 5 + 4
    assert len(events(database)) == 8


def test_one_pair_is_added_once(database, clock):
    """Of two that add it at once, one is told that it is there."""
    barrier = threading.Barrier(4)

    def attempt(_):
        barrier.wait()
        try:
            return put(rotation_of(database, clock)).state
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(attempt, range(4)))
    assert answers == [KeyState.STANDBY] + [Code.STREAM_KEY_INVALID] * 3
    assert (len(rows(database)), version(database)) == (1, 1)


def test_unnamed_mints_are_told_by_an_activation(database, rotation):
    """Those of the last 24 hours, in earnest and in rehearsal; none of them, no warning."""
    add(database, "k1", "active")
    added = put(rotation)
    with database.write() as tx:
        now = rotation._clock.read(tx)
        hour = int(now // 3600 * 3600)
        store.add_unnamed_mints(tx, hour, 4)
        store.add_unnamed_mints(tx, hour, 1)
        store.add_unnamed_mints(tx, hour - 23 * 3600, 10)
        store.add_unnamed_mints(tx, hour - 26 * 3600, 100)
    for context in (REHEARSAL, CONTEXT):
        moved = rotation.activate(added.id, context)
        assert moved.unnamed_mints == 15
        assert " 15 tokens" in moved.warning
    again = rotation.activate(added.id, CONTEXT)
    assert (again.unnamed_mints, again.warning) == (15, None)


def test_unnamed_mints_are_forgotten(database):
    """Nobody asks for those of more than a week ago."""
    with database.write() as tx:
        store.add_unnamed_mints(tx, 0, 5)
        store.add_unnamed_mints(tx, 8 * DAY, 1)
        assert store.unnamed_mints_since(tx, 0) == 1


@pytest.mark.sec(25)
def test_no_secret_is_in_what_an_act_shows(database, rotation):
    """Neither in its answer, nor in its rows, nor in the trail."""
    moved = rotation.activate(put(rotation).id, CONTEXT)
    shown = repr((moved, rows(database), events(database), vars(rotation), ciphertexts(database)))
    assert OTHER_SECRET not in shown
    assert VAULT.unwrap(ciphertexts(database)[0][0]) == OTHER_SECRET.encode()
