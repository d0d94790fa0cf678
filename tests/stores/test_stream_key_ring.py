"""A process' copy of the ring of Stream keys: never older than a standing, never unreadable."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from tests.stores.ring import (
    ENCRYPTION_KEY,
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    another_process,
    change,
)
from tokensvc.core.errors import Code, Refusal, StartupError
from tokensvc.keys.service import StreamKeys, WrappingKeyMissingError
from tokensvc.keys.vault import Vault

NEXT_ENCRYPTION_KEY = Vault.generate_key()
FOREIGN_VAULT = Vault([Vault.generate_key()])


@pytest.fixture
def keys(database, clock):
    return StreamKeys(database, VAULT, clock)


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
        ring = another_process(keys).ring_at(1)
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
    with pytest.raises(Refusal) as refused:
        keys.ring_at(2)
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_both_keys_during_a_change_of_encryption_keys(database, keys):
    """Rows under the old and the new key are covered by a process that has both."""
    add(database, "k1", "active")
    new_first = another_process(keys, Vault([NEXT_ENCRYPTION_KEY, ENCRYPTION_KEY]))
    add(database, "k2", "standby", OTHER_SECRET, vault=new_first._vault, now=2)
    new_first.check_covered()
    assert new_first.has_active()
    assert new_first.ring_at(2).named("k2").secret == OTHER_SECRET.encode()


def test_a_running_process_keeps_its_last_good_ring(database, keys):
    """It goes on signing with what it has, and is not ready."""
    add(database, "k1", "active")
    good = keys.ring_at(1).active
    add(database, "k2", "standby", OTHER_SECRET, vault=FOREIGN_VAULT, now=2)
    with capture_logs() as logs:
        ring = keys.ring_at(2)
    assert (ring.version, ring.active, ring.named("k2")) == (2, good, None)
    assert [line["event"] for line in logs] == ["stream_keys_unreadable"]
    assert not keys.has_active()


def test_the_last_good_ring_lets_go_of_a_retired_key(database, keys):
    """Not even a process that cannot read the new ring signs with a key that was retired."""
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    keys.ring_at(2)
    change(database, "k1", state="retired")
    change(database, "k2", secret_ciphertext="changed", state="active")
    ring = keys.ring_at(4)
    assert ring.active is None
    assert ring.named("k1") is None
    assert ring.named("k2").secret == OTHER_SECRET.encode()
    assert not keys.has_active()


def test_a_ciphertext_in_another_row_is_not_used(database, keys):
    """Whoever can write the database cannot make one key sign under another's name."""
    add(database, "k1", "active")
    keys.ring_at(1)
    change(database, "k1", secret_ciphertext=VAULT.wrap(OTHER_SECRET.encode())[0])
    assert keys.ring_at(2).active.secret == SECRET.encode()
    assert not keys.has_active()
    with pytest.raises(Refusal):
        another_process(keys).ring_at(2)


def test_a_ring_that_can_be_read_again_is_ready_again(database, keys):
    """Nothing of the failure stays."""
    add(database, "k1", "active")
    keys.ring_at(1)
    change(database, "k1", secret_ciphertext="changed")
    assert not keys.has_active()
    change(database, "k1", secret_ciphertext=VAULT.wrap(SECRET.encode())[0])
    assert keys.has_active()
