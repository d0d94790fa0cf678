"""The first key of the ring of Stream keys, and the settings beside a ring that exists."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.keys.ring import (
    ENCRYPTION_KEY,
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    events,
    rotation_of,
    rows,
    version,
)
from tokensvc.core.errors import StartupError
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.database.tables import stream_keys
from tokensvc.keys.rules import fingerprint
from tokensvc.keys.service import StreamKeyConflictError, StreamKeys
from tokensvc.keys.store import StreamKeyStore


@pytest.fixture
def keys(database):
    return StreamKeys(database, VAULT)


@pytest.fixture
def rotation(database, clock):
    return rotation_of(database, clock)


def test_an_empty_ring_gets_its_active_key(database, keys, rotation):
    """It signs at once, and every copy of the ring learns of it."""
    assert not keys.has_active()
    rotation.seed("k1", SECRET)
    assert rows(database) == [("k1", fingerprint(SECRET.encode()), "active")]
    assert version(database) == 1
    ring = keys.ring_at(1)
    assert ring.active is ring.named("k1")
    assert ring.active.secret == SECRET.encode()
    assert keys.has_active()
    with database.read() as connection:
        dates = connection.execute(
            sa.select(stream_keys.c.created_at, stream_keys.c.activated_at)
        ).one()
    assert dates.created_at == dates.activated_at
    assert events(database) == [
        ("service:settings", "stream_key:added", "the first key of the ring")
    ]


def test_the_same_pair_again_changes_nothing(database, rotation, clock):
    """Every start seeds; only the first does anything."""
    rotation.seed("k1", SECRET)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
        rotation_of(database, clock).seed("k1", SECRET)
    assert (len(rows(database)), version(database), logs) == (1, 1, [])


@pytest.mark.parametrize("state", ["standby", "retiring"])
def test_a_live_pair_that_is_not_active_is_fine_too(database, state, rotation):
    """After a rotation the settings may still hold the old key, or the next one already."""
    add(database, "k0", "active", now=2)
    add(database, "k1", state, OTHER_SECRET)
    with capture_logs() as logs:
        rotation.seed("k1", OTHER_SECRET)
    assert (len(rows(database)), version(database), logs) == (2, 2, [])


@pytest.mark.parametrize("known_as", [None, "retired"])
def test_an_unknown_or_retired_pair_is_a_warning(database, keys, known_as, rotation):
    """It signs nothing; the warning names the command that would bring it in."""
    add(database, "k0", "active", OTHER_SECRET)
    if known_as is not None:
        add(database, "k1", known_as, now=2)
    before = rows(database)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
    (line,) = logs
    assert line["log_level"] == "warning"
    assert line["api_key"] == "k1"
    assert "`tokensvc stream-keys add`" in line["detail"]
    assert SECRET not in str(logs)
    assert rows(database) == before
    assert keys.ring_at(version(database)).named("k1") is None


def test_settings_that_lag_behind_a_regenerated_secret_are_a_warning(database, rotation):
    """A restart between the switch and the change of the settings must not stop the service."""
    add(database, "k1", "retired")
    add(database, "k1", "active", OTHER_SECRET, now=2)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
    (line,) = logs
    assert line["event"] == "stream_key_not_in_ring"
    assert "STREAM_API_SECRET is a former secret of k1" in line["detail"]
    assert "stream-keys add" not in line["detail"]


@pytest.mark.parametrize("state", ["active", "standby", "retiring"])
def test_another_secret_of_a_live_key_stops_the_start(database, state, rotation):
    """Its tokens would be refused by Stream: the operator says which secret is right."""
    add(database, "k1", state)
    with pytest.raises(StreamKeyConflictError) as raised:
        rotation.seed("k1", OTHER_SECRET)
    assert isinstance(raised.value, StartupError)
    for named in ("k1", "`tokensvc stream-keys add`", "`tokensvc stream-keys activate`"):
        assert named in str(raised.value)
    assert not {SECRET, OTHER_SECRET} & set(str(raised.value).split())
    assert (len(rows(database)), version(database)) == (1, 1)


def test_a_regenerated_secret_that_is_in_the_ring_is_fine(database, rotation):
    """Two live rows of one `api_key`: either secret in the settings is a known pair."""
    add(database, "k1", "active")
    add(database, "k1", "standby", OTHER_SECRET, now=2)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
        rotation.seed("k1", OTHER_SECRET)
    assert logs == []


@pytest.mark.sec(21)
@pytest.mark.parametrize("secret", ["x" * 32, "é" * 16])
def test_a_secret_of_32_bytes_signs(keys, secret, rotation):
    """As its UTF-8 bytes, which is how Stream takes it."""
    rotation.seed("k1", secret)
    assert keys.ring_at(1).active.secret == secret.encode()


def test_processes_that_start_at_once_seed_one_key(database, clock):
    """One row and one version, however many see an empty ring."""
    processes = [rotation_of(database, clock) for _ in range(4)]
    barrier = threading.Barrier(4)

    def start(process):
        barrier.wait()
        process.seed("k1", SECRET)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, processes))
    assert (len(rows(database)), version(database)) == (1, 1)


@pytest.mark.sec(25)
def test_the_database_holds_no_secret(tmp_path, clock, sqlite_url):
    """Not a byte of a Stream secret is in the files, nor in what the objects print."""
    database = Database.open(sqlite_url, pool_size=2)
    schema.migrate(database)
    keys = StreamKeys(database, VAULT)
    rotation = rotation_of(database, clock)
    rotation.seed("k1", SECRET)
    stored = StreamKeyStore(database).read()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    database.close()
    assert b"k1" in files
    assert SECRET.encode() not in files
    assert ENCRYPTION_KEY.encode() not in files
    for shown in (keys, vars(rotation), keys.ring_at(1), stored):
        assert SECRET not in repr(shown)
        assert "gAAAA" not in repr(shown)
