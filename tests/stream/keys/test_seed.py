"""The first key of the ring, and settings next to an existing ring."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.stream.keys.ring import (
    ENCRYPTION_KEY,
    OTHER_SECRET,
    SECRET,
    VAULT,
    add,
    changes,
    current,
    events,
    rotation_of,
    rows,
)
from tokensvc.core.errors import StartupError
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.stream.keys.service import StreamKeyConflictError, StreamKeys
from tokensvc.stream.keys.store import STREAM_KEYS
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault.rules import fingerprint


@pytest.fixture
def keys(database):
    return StreamKeys(database, VAULT)


@pytest.fixture
def rotation(database, clock):
    return rotation_of(database, clock)


def test_pair_of_the_settings_is_the_active_key_of_an_empty_ring(database, keys, rotation):
    assert keys.problem()
    rotation.seed("k1", SECRET)
    assert rows(database) == [("k1", fingerprint(SECRET.encode()), "active")]
    assert changes(database) == 1
    ring = current(keys)
    assert ring.active is ring.named("k1")
    assert ring.active.secret == SECRET.encode()
    assert not keys.problem()
    with database.read() as connection:
        dates = connection.execute(
            sa.select(stream_keys.c.created_at, stream_keys.c.activated_at)
        ).one()
    assert dates.created_at == dates.activated_at
    assert events(database) == [
        ("service:settings", "stream_key:added", None, {"api_key": "k1", "state": "active"})
    ]


def test_same_pair_at_the_next_start_changes_nothing(database, rotation, clock):
    rotation.seed("k1", SECRET)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
        rotation_of(database, clock).seed("k1", SECRET)
    assert (len(rows(database)), changes(database), logs) == (1, 1, [])


@pytest.mark.parametrize("state", ["standby", "retiring"])
def test_standby_or_retiring_pair_is_accepted(database, state, rotation):
    add(database, "k0", "active", now=2)
    add(database, "k1", state, OTHER_SECRET)
    with capture_logs() as logs:
        rotation.seed("k1", OTHER_SECRET)
    assert (len(rows(database)), changes(database), logs) == (2, 2, [])


@pytest.mark.parametrize("known_as", [None, "retired"])
def test_unknown_or_retired_pair_logs_a_warning(database, keys, known_as, rotation):
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
    assert current(keys).named("k1") is None


def test_previous_secret_in_the_settings_logs_a_warning(database, rotation):
    add(database, "k1", "retired")
    add(database, "k1", "active", OTHER_SECRET, now=2)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
    (line,) = logs
    assert line["event"] == "stream_key_not_in_ring"
    assert "STREAM_API_SECRET is a previous secret of k1" in line["detail"]
    assert "stream-keys add" not in line["detail"]


@pytest.mark.parametrize("state", ["active", "standby", "retiring"])
def test_other_secret_of_a_live_key_is_a_startup_error(database, state, rotation):
    add(database, "k1", state)
    with pytest.raises(StreamKeyConflictError) as raised:
        rotation.seed("k1", OTHER_SECRET)
    assert isinstance(raised.value, StartupError)
    for named in ("k1", "`tokensvc stream-keys add`", "`tokensvc stream-keys activate`"):
        assert named in str(raised.value)
    assert not {SECRET, OTHER_SECRET} & set(str(raised.value).split())
    assert (len(rows(database)), changes(database)) == (1, 1)


def test_either_secret_of_an_api_key_is_accepted(database, rotation):
    add(database, "k1", "active")
    add(database, "k1", "standby", OTHER_SECRET, now=2)
    with capture_logs() as logs:
        rotation.seed("k1", SECRET)
        rotation.seed("k1", OTHER_SECRET)
    assert logs == []


@pytest.mark.sec(21)
@pytest.mark.parametrize("secret", ["x" * 32, "é" * 16])
def test_secret_is_used_as_its_utf8_bytes(keys, secret, rotation):
    rotation.seed("k1", secret)
    assert current(keys).active.secret == secret.encode()


def test_processes_that_start_simultaneously_seed_one_key(database, clock):
    processes = [rotation_of(database, clock) for _ in range(4)]
    barrier = threading.Barrier(4)

    def start(process):
        barrier.wait()
        process.seed("k1", SECRET)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, processes))
    assert (len(rows(database)), changes(database)) == (1, 1)


@pytest.mark.sec(25)
def test_database_and_repr_contain_no_secret(tmp_path, clock, sqlite_url):
    database = Database.open(sqlite_url, pool_size=2)
    schema.migrate(database)
    keys = StreamKeys(database, VAULT)
    rotation = rotation_of(database, clock)
    rotation.seed("k1", SECRET)
    stored = STREAM_KEYS.read(database)
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    database.close()
    assert b"k1" in files
    assert SECRET.encode() not in files
    assert ENCRYPTION_KEY.encode() not in files
    for shown in (keys, vars(rotation), current(keys), stored):
        assert SECRET not in repr(shown)
        assert "gAAAA" not in repr(shown)
