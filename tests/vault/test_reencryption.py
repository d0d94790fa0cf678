"""Re-encryption of every secret, next to traffic, even if it is stopped."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import sqlalchemy as sa

from tests.stream.keys.ring import (
    ENCRYPTION_KEY,
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    another_process,
    change,
    current,
    events,
    rotation_of,
    version,
)
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.sessions.store import FAMILY_KEYS
from tokensvc.stream.keys.store import STREAM_SECRETS
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault import reencryption
from tokensvc.vault.reencryption import Progress, Reencryption
from tokensvc.vault.store import EncryptedSecrets
from tokensvc.vault.vault import Vault

NEW_KEY = Vault.generate_key()
NEW_FIRST = Vault([NEW_KEY, ENCRYPTION_KEY])
NEW_ALONE = Vault([NEW_KEY])
CONTEXT = ActionContext("cli:ops", "yearly")


def reencrypting(database, clock):
    return Reencryption(
        database, DatabaseClock(database, clock), NEW_FIRST, [STREAM_SECRETS, FAMILY_KEYS]
    )


def encrypted_with(database):
    query = sa.select(stream_keys.c.encrypted_with).order_by(stream_keys.c.created_at)
    with database.read() as connection:
        return list(connection.scalars(query))


def ring_of(database, vault):
    return current(another_process(database, vault))


@pytest.fixture
def few(monkeypatch):
    """Make batches small, so that a few rows are several batches."""
    monkeypatch.setattr(reencryption, "_BATCH", 2)


@pytest.mark.usefixtures("few")
def test_every_secret_is_reencrypted(database, clock):
    """Versions and states stay the same."""
    secrets = [SECRET, OTHER_SECRET, "third-secret-of-the-dashboard-01234"]
    for number, secret in enumerate(secrets):
        add(database, f"k{number}", "standby" if number else "active", secret, now=number + 1)
    add(database, "k9", "retired", now=9)
    before = version(database)
    steps = list(reencrypting(database, clock).run(CONTEXT))
    assert steps == [Progress(2, 2, 0), Progress(3, 3, 0)]
    assert reencrypting(database, clock).remaining() == {}
    assert version(database) == before
    assert encrypted_with(database) == [NEW_FIRST.first_fingerprint] * 3 + [None]
    ring = ring_of(database, NEW_ALONE)
    assert [ring.named(f"k{number}").secret.decode() for number in range(3)] == secrets
    assert ring.active.api_key == "k0"
    (new,) = NEW_ALONE.fingerprints
    assert events(database) == [
        ("cli:ops", "secrets:reencrypted", "yearly", {"rows": count, "encryption_key": new})
        for count in (2, 1)
    ]


@pytest.mark.usefixtures("few")
def test_stopped_reencryption_continues(database, clock):
    for number in range(5):
        add(database, f"k{number}", "standby", now=number + 1)
    first = next(reencrypting(database, clock).run(CONTEXT))
    assert first == Progress(2, 2, 0)
    done = encrypted_with(database).count(NEW_FIRST.first_fingerprint)
    assert done == 2
    *_, last = reencrypting(database, clock).run(CONTEXT)
    assert last == Progress(3, 3, 0)
    assert list(reencrypting(database, clock).run(CONTEXT)) == []


def test_unreadable_rows_are_counted_by_their_key(database, clock):
    foreign = Vault([Vault.generate_key()])
    add(database, "k1", "active")
    add(database, "k2", "standby", OTHER_SECRET, vault=foreign, now=2)
    reencryption = reencrypting(database, clock)
    assert list(reencryption.run(CONTEXT)) == [Progress(2, 1, 1)]
    assert reencryption.remaining() == {foreign.first_fingerprint: 1}


def test_dry_run_changes_nothing(database, clock):
    add(database, "k1", "active")
    steps = list(reencrypting(database, clock).run(ActionContext("cli:ops", dry_run=True)))
    assert steps == [Progress(1, 1, 0)]
    assert encrypted_with(database) == [VAULT.first_fingerprint]
    assert events(database) == []


@pytest.mark.parametrize("change_during_run", ["retired", "reencrypted"])
def test_row_that_changed_after_the_read_is_not_reencrypted(
    database, clock, monkeypatch, change_during_run
):
    """A retired secret must not come back."""
    add(database, "k1", "standby")
    read = EncryptedSecrets.under_other_keys

    def read_then_lose(*arguments, **options):
        rows = read(*arguments, **options)
        if change_during_run == "retired":
            change(database, "k1", state="retired")
        else:
            ciphertext, key = VAULT.encrypt(SECRET.encode())
            change(database, "k1", secret_ciphertext=ciphertext, encrypted_with=key)
        monkeypatch.setattr(EncryptedSecrets, "under_other_keys", read)
        return rows

    monkeypatch.setattr(EncryptedSecrets, "under_other_keys", read_then_lose)
    reencryption = reencrypting(database, clock)
    assert list(reencryption.run(CONTEXT)) == [Progress(1, 0, 0)]
    if change_during_run == "retired":
        assert encrypted_with(database) == [None]
        assert reencryption.remaining() == {}
    else:
        assert reencryption.remaining() == {VAULT.first_fingerprint: 1}
    assert events(database) == []


@pytest.mark.usefixtures("few")
def test_readers_with_both_keys_miss_no_key_during_actions_and_reencryption(database, clock):
    add(database, "k0", "active")
    for number in range(1, 12):
        add(database, f"k{number}", "standby", OTHER_SECRET, now=number + 1)
    both = Vault([ENCRYPTION_KEY, NEW_KEY])
    done = threading.Event()

    def read():
        seen = set()
        while not done.is_set():
            ring = current(another_process(database, both))
            seen.add((ring.unreadable, ring.active is not None))
        return seen

    def retire_keys():
        for number in range(1, 6):
            change(database, f"k{number}", state="retired")

    def reencrypt():
        return sum(step.unreadable for step in reencrypting(database, clock).run(CONTEXT))

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(work) for work in (retire_keys, reencrypt, reencrypt)]
        wait(writers)
        done.set()
        for writer in writers:
            writer.result()
        assert [reader.result() for reader in readers] == [{(frozenset(), True)}] * 2
    assert reencrypting(database, clock).remaining() == {}
    ring = ring_of(database, NEW_ALONE)
    assert len(ring.keys) == 7
    assert not ring.unreadable


@pytest.mark.sec(25)
def test_progress_and_events_contain_no_secret_or_ciphertext(database, clock):
    add(database, "k1", "active")
    with database.read() as connection:
        rows = STREAM_SECRETS.under_other_keys(connection, "none", after="", limit=9)
    steps = list(reencrypting(database, clock).run(CONTEXT))
    shown = repr((rows, steps, events(database)))
    assert "gAAAA" not in shown
    assert SECRET not in shown


def test_action_waits_for_a_batch_without_deadlock(database, clock, monkeypatch):
    older = add(database, "k1", "standby")
    add(database, "k2", "active", OTHER_SECRET, now=2)
    rotation = rotation_of(database, clock, NEW_FIRST)
    reencrypt, pool = EncryptedSecrets.reencrypt, ThreadPoolExecutor(1)
    activations = []

    def reencrypt_next_to_an_action(*arguments):
        swapped = reencrypt(*arguments)
        if not activations:
            activations.append(pool.submit(rotation.activate, older, CONTEXT, check=False))
            wait(activations, timeout=0.5)  # it would have changed the other row by then
        return swapped

    monkeypatch.setattr(EncryptedSecrets, "reencrypt", reencrypt_next_to_an_action)
    assert list(reencrypting(database, clock).run(CONTEXT)) == [Progress(2, 2, 0)]
    assert activations[0].result().state == "active"
    pool.shutdown()
    assert encrypted_with(database) == [NEW_FIRST.first_fingerprint] * 2
