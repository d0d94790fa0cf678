"""A key ring of a process, of each kind: never older than a standing, never without its keys."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.stream.keys.ring import VAULT
from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RingVersion
from tokensvc.standing.tables import app_standing
from tokensvc.vault.vault import Vault

FOREIGN_VAULT = Vault([Vault.generate_key()])


@pytest.fixture
def process(ring):
    ring.add("k1", "active")
    return ring.process()


def test_other_version_reloads_the_ring(ring, process):
    """A key that another process retired is not in it."""
    ring.add("k2", "standby", now=2)
    before = ring.version()
    old = ring.current(process)
    ring.change("k2", state="retired")
    assert process.ring_at(before) is old
    assert ring.find(old, "k2") is not None
    new = ring.current(process)
    assert new.version == ring.version()
    assert ring.find(new, "k2") is None
    assert ring.find(new, "k1") is new.active is not None


def test_request_that_read_an_older_version_gets_the_current_ring(ring, process):
    """Its standing is from before a change, and another request has loaded the ring since."""
    before = ring.version()
    ring.add("k2", "standby", now=2)
    after = ring.current(process).version
    assert process.ring_at(before).version == after


@pytest.mark.sec(65)
def test_request_does_not_wait_longer_than_its_deadline_for_a_reload(ring, process):
    """The database may have stopped to respond to the thread that reloads."""
    changed = ring.version()
    deadline.begin(time.monotonic(), 0.0)
    try:
        with process._reload, pytest.raises(Refusal) as refused:
            process.ring_at(changed)
    finally:
        deadline.end()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


@pytest.mark.sec(37)
def test_equal_counter_of_a_database_that_was_set_back_reloads_the_ring(ring, process):
    """The change that the copy lacks was made again, with another key."""
    with ring.database.write() as tx:
        copy = tx.execute(sa.select(app_standing)).mappings().one()
    ring.add("k2", "standby", now=2)
    found = ring.current(process)
    with ring.database.write() as tx:
        tx.execute(ring.table.delete().where(ring.name_column == "k2"))
        tx.execute(app_standing.update().values(copy))
    ring.add("k3", "standby", now=2)
    assert ring.version().counter == found.version.counter
    assert ring.find(ring.current(process), "k2") is None
    assert ring.find(ring.current(process), "k3") is not None


def test_threads_share_one_reload(ring, process, monkeypatch):
    read, reads = process._store.read, []

    def slow_read(database):
        reads.append(threading.get_ident())
        time.sleep(0.1)
        return read(database)

    monkeypatch.setattr(process._store, "read", slow_read)
    with ThreadPoolExecutor(4) as pool:
        rings = list(pool.map(process.ring_at, [ring.version()] * 4))
    assert len(reads) == 1
    assert len({id(found) for found in rings}) == 1


def test_keys_belong_to_the_version_of_the_ring(ring, process):
    """They are read in one statement, while both change."""
    stop = threading.Event()

    def rotate():
        for number in range(2, 120):
            ring.change("k1", state="standby" if number % 2 else "active")
        stop.set()

    rotation = threading.Thread(target=rotate)
    rotation.start()
    seen = set()
    while not stop.is_set():
        found = ring.current(ring.process())
        counter = found.version.counter
        seen.add(counter)
        active = counter == 1 or counter % 2 == 0
        assert (found.active is not None) == active
    rotation.join()
    assert len(seen) > 1


def test_version_newer_than_the_database_is_refused(process):
    with pytest.raises(Refusal) as refused:
        process.ring_at(RingVersion(2, "not committed"))
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_running_process_keeps_its_keys_and_is_not_ready(ring, process):
    """Another process has encrypted the next key with a key that this one does not have."""
    ring.current(process)
    ring.add("k2", "standby", vault=FOREIGN_VAULT, now=2)
    missing = FOREIGN_VAULT.first_fingerprint
    with capture_logs() as logs:
        found = ring.current(process)
        assert missing in process.problem().detail
        assert process.problem()
    assert found.version == ring.version()
    assert ring.secret_in(found.active) == ring.secret_of("k1")
    assert process.missing_encryption_keys() == {missing}
    (line,) = logs
    assert line["event"] == "keys_unreadable"
    assert line["missing_fingerprints"] == [missing]


def test_kept_ring_has_current_states(ring, process):
    ring.add("k2", "standby", now=2)
    ring.current(process)
    ring.add("k3", "retiring", vault=FOREIGN_VAULT, now=3)
    ring.change("k1", state="retiring")
    ring.change("k2", state="active")
    found = ring.current(process)
    assert ring.find(found, "k2") is found.active is not None
    assert ring.find(found, "k1").state == "retiring"


def test_reencrypted_secret_is_read_without_a_new_version(ring, process):
    ring.add("k2", "standby", vault=FOREIGN_VAULT, now=2)
    ring.current(process)
    assert process.problem()
    ciphertext, encrypted_with = VAULT.encrypt(ring.secret_of("k2"))
    with ring.database.write() as tx:
        ring.set(tx, "k2", {"secret_ciphertext": ciphertext, "encrypted_with": encrypted_with})
    assert not process.problem()
    found = ring.find(ring.current(process), "k2")
    assert ring.secret_in(found) == ring.secret_of("k2")


def test_kept_ring_drops_a_retired_key(ring, process):
    ring.add("k2", "standby", now=2)
    ring.current(process)
    ring.change("k1", state="retired")
    ring.change("k2", secret_ciphertext="changed", state="active")
    found = ring.current(process)
    assert ring.find(found, "k1") is None
    assert ring.find(found, "k2") is found.active
    assert ring.secret_in(found.active) == ring.secret_of("k2")
    assert process.problem()
    assert ring.secret_of("k1") not in process._secrets.values()


def test_ring_without_an_active_key_is_no_better_in_another_process(ring, process):
    """A load balancer keeps the instance then, and removes it if only this one lacks a key."""
    ring.change("k1", state="retired")
    assert process.problem().is_shared
    ring.add("k2", "active", vault=FOREIGN_VAULT, now=2)
    assert not process.problem().is_shared


@pytest.mark.sec(37)
def test_ciphertext_of_another_row_is_not_used(ring, process):
    """A writer of the database cannot make one key sign under the name of another."""
    ring.current(process)
    ring.change("k1", secret_ciphertext=VAULT.encrypt(ring.secret_of("k2"))[0])
    assert ring.secret_in(ring.current(process).active) == ring.secret_of("k1")
    assert process.problem()
    other = ring.process()
    assert [ring.name_of(key) for key in other.damaged()] == ["k1"]
    assert ring.current(other).active is None
    with pytest.raises(Refusal) as refused:
        ring.use(other, "k1")
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


@pytest.mark.sec(25)
def test_repr_contains_no_secret(ring, process):
    found = ring.current(process)
    for shown in (
        process,
        found,
        found.active,
        process._store.read(ring.database),
        vars(ring.rotation()),
    ):
        assert str(ring.secret_of("k1"))[2:-1] not in repr(shown)
        assert "private" not in repr(shown)
        assert "gAAAA" not in repr(shown)
