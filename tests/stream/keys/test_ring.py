"""The key ring of a process: never older than a standing, never without its keys."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.stream.keys.ring import (
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    another_process,
    change,
    current,
    version,
)
from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RingVersion
from tokensvc.standing.tables import app_standing
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault.vault import Vault

FOREIGN_VAULT = Vault([Vault.generate_key()])


@pytest.fixture
def keys(database):
    return StreamKeys(database, VAULT)


def test_other_version_reloads_the_ring(database, keys):
    """A key that another process retired is not in it."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    before = version(database)
    old = current(keys)
    change(database, "k2", state="retired")
    assert keys.ring_at(before) is old
    assert old.named("k2") is not None
    new = current(keys)
    assert new.version == version(database)
    assert new.named("k2") is None
    assert new.active.api_key == "k1"


def test_request_that_read_an_older_version_gets_the_current_ring(database, keys):
    """Its standing is from before a change, and another request has loaded the ring since."""
    add(database, "k1", "active")
    before = version(database)
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    after = current(keys).version
    assert keys.ring_at(before).version == after


@pytest.mark.sec(65)
def test_request_does_not_wait_longer_than_its_deadline_for_a_reload(database, keys):
    """The database may have stopped to respond to the thread that reloads."""
    add(database, "k1", "active")
    changed = version(database)
    deadline.begin(time.monotonic(), 0.0)
    try:
        with keys._reload, pytest.raises(Refusal) as refused:
            keys.ring_at(changed)
    finally:
        deadline.end()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


@pytest.mark.sec(37)
def test_equal_counter_of_a_database_that_was_set_back_reloads_the_ring(database, keys):
    """The change that the copy lacks was made again, with another key."""
    add(database, "k1", "active")
    with database.write() as tx:
        copy = tx.execute(sa.select(app_standing)).mappings().one()
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    ring = current(keys)
    with database.write() as tx:
        tx.execute(stream_keys.delete().where(stream_keys.c.api_key == "k2"))
        tx.execute(app_standing.update().values(copy))
    add(database, "k3", "standby", OTHER_SECRET, now=2)
    assert version(database).counter == ring.version.counter
    assert current(keys).named("k2") is None
    assert current(keys).named("k3") is not None


def test_threads_share_one_reload(database, keys, monkeypatch):
    add(database, "k1", "active")
    read, reads = keys._store.read, []

    def slow_read():
        reads.append(threading.get_ident())
        time.sleep(0.1)
        return read()

    monkeypatch.setattr(keys._store, "read", slow_read)
    with ThreadPoolExecutor(4) as pool:
        rings = list(pool.map(keys.ring_at, [version(database)] * 4))
    assert len(reads) == 1
    assert len({id(ring) for ring in rings}) == 1


def test_keys_belong_to_the_version_of_the_ring(database, keys):
    """They are read in one statement, while both change."""
    add(database, "k1", "active")
    stop = threading.Event()

    def rotate():
        for number in range(2, 120):
            change(database, "k1", state="standby" if number % 2 else "active")
        stop.set()

    rotation = threading.Thread(target=rotate)
    rotation.start()
    seen = set()
    while not stop.is_set():
        ring = current(another_process(database))
        counter = ring.version.counter
        seen.add(counter)
        active = counter == 1 or counter % 2 == 0
        assert (ring.active is not None) == active
    rotation.join()
    assert len(seen) > 1


def test_version_newer_than_the_database_is_refused(database, keys):
    add(database, "k1", "active")
    with pytest.raises(Refusal) as refused:
        keys.ring_at(RingVersion(2, "not committed"))
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_running_process_keeps_its_keys_and_is_not_ready(database, keys):
    add(database, "k1", "active")
    good = current(keys).active
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    (missing,) = FOREIGN_VAULT.fingerprints
    with capture_logs() as logs:
        ring = current(keys)
        assert keys.problem()
        assert keys.problem()
    assert (ring.version, ring.active) == (version(database), good)
    (line,) = logs
    assert line["event"] == "keys_unreadable"
    assert line["missing_fingerprints"] == [missing]


def test_kept_ring_has_current_states(database, keys):
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    current(keys)
    add(database, "k3", "standby", vault=FOREIGN_VAULT, now=3)
    change(database, "k1", state="retiring")
    change(database, "k2", state="active")
    ring = current(keys)
    assert ring.active.api_key == "k2"
    assert ring.named("k1").state == "retiring"


def test_rewrapped_secret_is_read_without_a_new_version(database, keys):
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    current(keys)
    assert keys.problem()
    ciphertext, wrapped_by = VAULT.wrap(OTHER_SECRET.encode())
    values = {"secret_ciphertext": ciphertext, "wrapped_by": wrapped_by}
    with database.write() as tx:
        tx.execute(stream_keys.update().where(stream_keys.c.api_key == "k2"), values)
    assert not keys.problem()
    assert current(keys).named("k2").secret == OTHER_SECRET.encode()


def test_kept_ring_drops_a_retired_key(database, keys):
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    current(keys)
    change(database, "k1", state="retired")
    change(database, "k2", secret_ciphertext="changed", state="active")
    ring = current(keys)
    assert ring.named("k1") is None
    assert ring.active is ring.named("k2")
    assert ring.active.secret == OTHER_SECRET.encode()
    assert keys.problem()
    assert SECRET.encode() not in keys._secrets.values()


def test_ciphertext_of_another_row_is_not_used(database, keys):
    """A writer of the database cannot make one key sign under the name of another."""
    add(database, "k1", "active")
    current(keys)
    change(database, "k1", secret_ciphertext=VAULT.wrap(OTHER_SECRET.encode())[0])
    assert current(keys).active.secret == SECRET.encode()
    assert keys.problem()
    ring = current(another_process(database))
    assert ring.active is None
    with pytest.raises(Refusal):
        ring.named("k1")
