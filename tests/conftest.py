"""The fixtures that tests share: PostgreSQL, Redis, and a migrated database of each kind."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from testing.database_url import migrated_sqlite_file
from testing.manual_clock import ManualClock
from testing.postgres import PostgresServer
from testing.redis_server import RedisServer
from tokensvc.database.engine import Database

pytest_plugins = ["tests.run_report"]

hypothesis.settings.register_profile("tokensvc", deadline=None)  # the machine may be busy
hypothesis.settings.load_profile("tokensvc")


_MEMORY = Path("/dev/shm")
_FILES = 10 * 2**30
"""Bytes of the files that all tests write, with a reserve."""
_PROCESSES = 6 * 2**30
"""Bytes that their processes take, with a reserve."""


def pytest_configure() -> None:
    """
    Collect garbage less often, and write temporary files to memory if there is room.

    Collection of 6,600 tests takes a third longer with Python's thresholds. A copied database is 20
    times faster in memory.
    """
    gc.set_threshold(50_000, 20, 100)
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return
    system = os.statvfs(_MEMORY)
    room = min(system.f_bavail * system.f_frsize, _free_memory() - _PROCESSES)
    if room >= _FILES and not system.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _free_memory() -> int:
    """Return the bytes that processes and files in memory can still take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kilobytes) * 1024


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow files first: at the end, a parallel run would wait for them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Yield a server for all tests. A test that stops a server starts its own."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Return the URL of an empty database."""
    return postgres.fresh_url()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a new file."""
    return f"sqlite:///{tmp_path / 'tokensvc.db'}"


@pytest.fixture
def migrated_sqlite_url(tmp_path: Path) -> str:
    path = shutil.copy(migrated_sqlite_file(), tmp_path / "tokensvc.db")
    return f"sqlite:///{path}"


@pytest.fixture
def migrated_postgres_url(postgres: PostgresServer) -> str:
    return postgres.migrated_url()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run a test once for each kind of database."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, database_kind: str) -> Iterator[Database]:
    """Yield a database without a schema."""
    kind = "sqlite_url" if database_kind == "sqlite" else "postgres_url"
    database = Database.open(request.getfixturevalue(kind), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, database_kind: str) -> Iterator[Database]:
    """Yield a migrated database."""
    kind = "migrated_sqlite_url" if database_kind == "sqlite" else "migrated_postgres_url"
    database = Database.open(request.getfixturevalue(kind), pool_size=4)
    yield database
    database.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Yield a server for all tests. A test that stops a server starts its own."""
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url
