"""A process' copy of the ring of Stream keys: never older than a standing, never unreadable."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from tests.keys.ring import (
    ENCRYPTION_KEY,
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    another_process,
    change,
)
from tokensvc.core.errors import Code, Refusal, StartupError
from tokensvc.database.tables import stream_keys
from tokensvc.keys.service import StreamKeys, WrappingKeyMissingError
from tokensvc.keys.vault import Vault

NEXT_ENCRYPTION_KEY = Vault.generate_key()
FOREIGN_VAULT = Vault([Vault.generate_key()])


@pytest.fixture
def keys(database):
    return StreamKeys(database, VAULT)


def test_a_copy_reloads_before_it_is_older(database, keys):
    """A key that another process retired does not sign once the standing says so."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    old = keys.ring_at(2)
    change(database, "k2", state="retired")
    assert keys.ring_at(2) is old
    assert old.named("k2") is not None
    new = keys.ring_at(3)
    assert new.version == 3
    assert new.named("k2") is None
    assert new.active.api_key == "k1"


def test_a_copy_never_goes_back(database, keys):
    """A standing that was read before a change is answered by the newer ring."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    ring = keys.ring_at(2)
    for older in (0, 1, 2):
        assert keys.ring_at(older) is ring


def test_a_copy_is_read_once_for_all_threads(database, keys, monkeypatch):
    """Threads that need a newer ring at once wait for one of them to read it."""
    add(database, "k1", "active")
    read, reads = keys._store.read, []

    def slow_read():
        reads.append(threading.get_ident())
        time.sleep(0.1)
        return read()

    monkeypatch.setattr(keys._store, "read", slow_read)
    with ThreadPoolExecutor(4) as pool:
        rings = list(pool.map(keys.ring_at, [1] * 4))
    assert len(reads) == 1
    assert len({id(ring) for ring in rings}) == 1


def test_a_ring_is_of_its_version(database, keys):
    """Keys and version are read in one statement: while they change, they still fit."""
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
        ring = another_process(database).ring_at(1)
        seen.add(ring.version)
        active = ring.version == 1 or ring.version % 2 == 0
        assert (ring.active is not None) == active
    rotation.join()
    assert len(seen) > 1


def test_the_newest_key_stands_first(database, keys):
    """Of two live rows of one `api_key`, neither active, the newer signs."""
    add(database, "k1", "retiring", SECRET, now=1)
    add(database, "k1", "standby", OTHER_SECRET, now=2)
    assert keys.ring_at(2).named("k1").secret == OTHER_SECRET.encode()


def test_a_version_that_is_not_there_refuses(database, keys):
    """A database that answers with an older ring than it announced is not believed."""
    add(database, "k1", "active")
    with pytest.raises(Refusal) as refused:
        keys.ring_at(2)
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_a_process_without_the_key_does_not_start(database, keys):
    """The missing key is named by its fingerprint."""
    keys.check_covered()
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    (missing,) = FOREIGN_VAULT.fingerprints
    with pytest.raises(WrappingKeyMissingError, match=missing) as raised:
        keys.check_covered()
    assert isinstance(raised.value, StartupError)
    assert not keys.has_active()


def test_a_worker_without_the_key_refuses_what_it_cannot_sign(database, keys):
    """A key that is in use, but not readable here, is not an unknown one: ask again elsewhere."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    ring = keys.ring_at(2)
    assert ring.active.api_key == "k1"
    assert ring.named("unknown") is None
    with pytest.raises(Refusal) as refused:
        ring.named("k2")
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_both_keys_during_a_change_of_encryption_keys(database, keys):
    """Rows under the old and the new key are covered by a process that has both."""
    add(database, "k1", "active")
    new_first = another_process(database, Vault([NEXT_ENCRYPTION_KEY, ENCRYPTION_KEY]))
    add(database, "k2", "standby", OTHER_SECRET, vault=new_first._vault, now=2)
    new_first.check_covered()
    assert new_first.has_active()
    assert new_first.ring_at(2).named("k2").secret == OTHER_SECRET.encode()


def test_a_running_process_keeps_its_last_good_ring(database, keys):
    """It goes on signing with what it has, and is not ready."""
    add(database, "k1", "active")
    good = keys.ring_at(1).active
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    (missing,) = FOREIGN_VAULT.fingerprints
    with capture_logs() as logs:
        ring = keys.ring_at(2)
        assert not keys.has_active()
        assert not keys.has_active()
    assert (ring.version, ring.active) == (2, good)
    (line,) = logs
    assert line["event"] == "stream_keys_unreadable"
    assert line["missing_fingerprints"] == [missing]


def test_the_last_good_ring_has_fresh_states(database, keys):
    """Of what it can read it knows the new states, also when another key cannot be read."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    keys.ring_at(2)
    add(database, "k3", "standby", vault=FOREIGN_VAULT, now=3)
    change(database, "k1", state="retiring")
    change(database, "k2", state="active")
    ring = keys.ring_at(5)
    assert ring.active.api_key == "k2"
    assert ring.named("k1").state == "retiring"


def test_what_is_wrapped_anew_is_readable_without_a_new_version(database, keys):
    """The change of encryption keys bumps no version; a process that was not ready looks again."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    keys.ring_at(2)
    assert not keys.has_active()
    ciphertext, wrapped_by = VAULT.wrap(OTHER_SECRET.encode())
    values = {"secret_ciphertext": ciphertext, "wrapped_by": wrapped_by}
    with database.write() as tx:
        tx.execute(stream_keys.update().where(stream_keys.c.api_key == "k2"), values)
    assert keys.has_active()
    assert keys.ring_at(2).named("k2").secret == OTHER_SECRET.encode()


def test_the_last_good_ring_lets_go_of_a_retired_key(database, keys):
    """Not even a process that cannot read the new ring signs with a key that was retired."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    keys.ring_at(2)
    change(database, "k1", state="retired")
    change(database, "k2", secret_ciphertext="changed", state="active")
    ring = keys.ring_at(4)
    assert ring.named("k1") is None
    assert ring.active is ring.named("k2")
    assert ring.active.secret == OTHER_SECRET.encode()
    assert not keys.has_active()
    assert SECRET.encode() not in keys._secrets.values()


def test_a_ciphertext_in_another_row_is_not_used(database, keys):
    """Whoever can write the database cannot make one key sign under another's name."""
    add(database, "k1", "active")
    keys.ring_at(1)
    change(database, "k1", secret_ciphertext=VAULT.wrap(OTHER_SECRET.encode())[0])
    assert keys.ring_at(2).active.secret == SECRET.encode()
    assert not keys.has_active()
    ring = another_process(database).ring_at(2)
    assert ring.active is None
    with pytest.raises(Refusal):
        ring.named("k1")


def test_a_ring_that_can_be_read_again_is_ready_again(database, keys):
    """Nothing of the failure stays."""
    add(database, "k1", "active")
    keys.ring_at(1)
    change(database, "k1", secret_ciphertext="changed")
    assert not keys.has_active()
    change(database, "k1", secret_ciphertext=VAULT.wrap(SECRET.encode())[0])
    assert keys.has_active()
