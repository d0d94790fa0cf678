"""Promises of the SQLite file only."""

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial

import pytest
import sqlalchemy as sa

from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.standing.tables import app_standing


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "deep" / "tokensvc.db"


@pytest.fixture
def database(path):
    database = Database.open(f"sqlite:///{path}", pool_size=2)
    yield database
    database.close()


@pytest.mark.parametrize(
    "pragma, value",
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
def test_each_connection_is_durable_and_checks_foreign_keys(database, pragma, value):
    """`synchronous=FULL` (2): a confirmed commit survives a power failure."""
    one = sa.select(sa.literal_column("1"))
    with database.read() as first, database.read() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    assert database.fetch(one) == [(1,)]


@pytest.mark.sec(65)
def test_wait_for_another_writer_ends_with_the_request(database, path):
    """
    Reads do not wait.

    Only one thread of a process waits for writers of another: more would be served in no order.
    """
    schema.migrate(database)
    of_another_process = Database.open(f"sqlite:///{path}", pool_size=1)
    read = partial(database.fetch, sa.select(app_standing.c.floor))
    update = app_standing.update().values(floor=1).returning(app_standing.c.floor)
    busy_timeout = "PRAGMA busy_timeout"

    def write(used):
        with used.write():
            pass

    def reasons(used):
        for use in (write, lambda used: used.change(update, {})):
            deadline.begin(time.monotonic(), seconds=0.1)
            for _ in range(2):
                with pytest.raises(Refusal) as refused:
                    use(used)
                yield refused.value.reason

    deadline.begin(time.monotonic(), seconds=0.1)
    try:
        with database.write() as tx:
            assert tx.exec_driver_sql(busy_timeout).scalar() <= 100
            assert {*reasons(database)} == {"database: other writers took too long"}
            assert [*reasons(of_another_process)] == [
                "database: OperationalError",
                "database: the time of the request is over",
            ] * 2
            assert read() == [(0,)]
    finally:
        deadline.end()
        of_another_process.close()
    with database.write() as tx:
        assert tx.exec_driver_sql(busy_timeout).scalar() == 5000


def test_files_are_readable_for_their_owner_only(database, path):
    """Also those that SQLite creates next to the database."""
    schema.migrate(database)
    with database.write() as tx:
        tx.execute(app_standing.update().values(floor=1))
        files = list(path.parent.iterdir())
        assert {file.name for file in files} == {
            f"{path.name}{end}" for end in ("", "-wal", "-shm")
        }
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_existing_file_keeps_its_rows_and_mode(database, path):
    schema.migrate(database)
    path.chmod(0o640)
    again = Database.open(f"sqlite:///{path}", pool_size=1)
    assert schema.status(again) == "current"
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


_COME_AND_GO = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("UPDATE app_standing SET floor = floor + 1")
connection.close()
"""


def test_opening_again_keeps_the_held_locks(database, path):
    """Otherwise another process takes itself for the last one and deletes the log."""
    schema.migrate(database)
    floor = sa.select(app_standing.c.floor)
    with database.read() as connection:
        assert connection.scalar(floor) == 0
        Database.open(f"sqlite:///{path}", pool_size=1).close()
        for times in (1, 2):
            subprocess.run([sys.executable, "-c", _COME_AND_GO, path], check=True)
            assert connection.scalar(floor) == times


def test_write_takes_the_lock_before_it_reads(database):
    """`BEGIN IMMEDIATE`: a second transaction waits before its first read."""
    schema.migrate(database)
    order = []

    def write():
        with database.write():
            order.append("second")

    with database.write() as tx:
        tx.execute(sa.select(app_standing.c.floor))
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_copy_that_replaces_the_file_is_used_from_the_next_read(database, path):
    """Also by writes. It keeps what others have written to it meanwhile."""
    schema.migrate(database)
    floor = sa.select(app_standing.c.floor)
    read, copy = partial(database.fetch, floor), path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with database.write() as tx:
        tx.execute(app_standing.update().values(floor=7))
    assert read() == [(7,)]
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    copy.replace(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE app_standing SET floor = 3")
        other.commit()
        assert read() == [(3,)]
        with database.write() as tx:
            assert tx.scalar(floor) == 3
            tx.execute(app_standing.update().values(floor=4))
        database.close()
        assert other.execute("SELECT floor FROM app_standing").fetchone() == (4,)


@pytest.mark.parametrize("damage", ["garbage", "gone"])
def test_damaged_or_missing_file_refuses(database, path, damage):
    schema.migrate(database)
    database.close()
    for file in path.parent.iterdir():
        file.unlink()
    if damage == "garbage":
        path.write_bytes(b"no database" * 1000)
    else:
        path.parent.rmdir()
    read = partial(database.fetch, sa.select(app_standing.c.floor))
    with pytest.raises(Refusal) as refused:
        read()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    with pytest.raises(Refusal), database.write():
        pass
    with pytest.raises(Refusal):
        schema.status(database)
