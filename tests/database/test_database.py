"""Transactions, reads and constraints of both databases."""

import sqlite3
import threading
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
import sqlalchemy as sa

from testing.database_url import url_of
from tokensvc.clients.tables import client_secrets, service_clients
from tokensvc.core.errors import Code, Refusal, StartupError
from tokensvc.database import connecting, sqlite
from tokensvc.database.engine import Database
from tokensvc.database.statements import run
from tokensvc.standing.tables import app_standing, user_standings
from tokensvc.stream.keys.tables import stream_keys


def add_user(tx, user_id, **columns):
    tx.execute(user_standings.insert(), {"user_id": user_id, **columns})


def user_ids(database):
    with database.read() as connection:
        return set(connection.scalars(sa.select(user_standings.c.user_id)))


@pytest.mark.parametrize(
    "error", [KeyError("x"), Refusal(Code.USER_INVALID, "x"), KeyboardInterrupt()]
)
def test_exception_rolls_back_and_propagates(database, error):
    with pytest.raises(type(error)) as raised, database.write() as tx:
        add_user(tx, "ada")
        raise error
    assert raised.value is error
    assert user_ids(database) == set()
    with database.write() as tx:
        add_user(tx, "ada")
    assert user_ids(database) == {"ada"}


def test_change_returns_the_rows_that_it_has_changed(database):
    """Only one of many that compare and swap at the same time has one."""
    update = app_standing.update().where(app_standing.c.floor == sa.bindparam("seen"))
    update = update.values(floor=sa.bindparam("new")).returning(app_standing.c.floor)

    def change(new):
        return database.change(update, {"seen": 0, "new": new})

    with ThreadPoolExecutor(4) as pool:
        changed = [rows for rows in pool.map(change, range(1, 9)) if rows]
    assert len(changed) == 1
    assert database.fetch(sa.select(app_standing.c.floor)) == changed[0]


@pytest.mark.parametrize(("block", "seen"), [(Database.read, 1), (Database.snapshot, 0)])
def test_read_sees_later_commits_and_snapshot_does_not(database, block, seen):
    """A read opens no transaction."""
    query = sa.select(sa.func.count()).select_from(user_standings)
    with block(database) as connection:
        assert connection.scalar(query) == 0
        with database.write() as tx:
            add_user(tx, "ada")
        assert connection.scalar(query) == seen
    with block(database) as connection:
        assert connection.scalar(query) == 1


def test_concurrent_writers_lose_no_update(database):
    """Transactions that read a row and then write it wait for each other."""
    writers, rounds = 4, 25

    def raise_floor():
        for _ in range(rounds):
            with database.write() as tx:
                lock = sa.select(app_standing.c.floor).with_for_update()
                tx.execute(app_standing.update().values(floor=tx.scalar(lock) + 1))

    with ThreadPoolExecutor(writers) as pool:
        for writer in [pool.submit(raise_floor) for _ in range(writers)]:
            writer.result()
    with database.read() as connection:
        assert connection.scalar(sa.select(app_standing.c.floor)) == writers * rounds


def test_wait_for_a_lock_ends_with_a_refusal(database, monkeypatch):
    """Reads continue, and so do writes after it."""
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.05)
    other = Database.open(url_of(database), pool_size=2)
    with database.write() as tx:
        tx.execute(sa.select(app_standing.c.floor).with_for_update())
        with pytest.raises(Refusal) as refused, other.write() as waiting:
            waiting.execute(app_standing.update().values(floor=1))
        assert other.fetch(sa.select(app_standing.c.floor)) == [(0,)]
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.value.retry_after == 5
    with other.write() as tx:
        tx.execute(app_standing.update().values(floor=1))
    other.close()


def test_dry_run_changes_nothing(database):
    with database.write(dry_run=True) as tx:
        run(tx, app_standing.update().values(floor=1))
    assert database.fetch(sa.select(app_standing.c.floor)) == [(0,)]


def test_read_binds_parameters_by_name(database):
    """Also the statement's own constants."""
    with database.write() as tx:
        for user_id, floor in (("ada", 1), ("bob", 2), ("cyd", 2)):
            add_user(tx, user_id, floor=floor)
    column = user_standings.c
    query = (
        sa.select(column.user_id)
        .where(column.floor == 2, column.user_id >= sa.bindparam("first"))
        .order_by(column.user_id)
    )
    assert database.fetch(query, {"first": "a"}) == [("bob",), ("cyd",)]
    assert database.fetch(query, {"first": "c"}) == [("cyd",)]
    assert database.fetch(query, {"first": "d"}) == []


def test_read_is_safe_in_threads(database):
    with database.write() as tx:
        for number in range(50):
            add_user(tx, f"u{number}", floor=number)
    column = user_standings.c
    is_user = column.user_id == sa.bindparam("user_id")
    query = sa.select(column.user_id, column.floor).where(is_user)

    def ask(number):
        return database.fetch(query, {"user_id": f"u{number}"}) == [(f"u{number}", number)]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, [number % 50 for number in range(600)]))


ROWS_THAT_NO_TABLE_TAKES = {
    "a second standing of the app": (app_standing, {"id": 2}),
    "a cut-off above the floor": (
        user_standings,
        {"user_id": "ada", "tokens_valid_after": 5, "floor": 4},
    ),
    "a negative floor": (user_standings, {"user_id": "ada", "floor": -1}),
    "an unknown state": (
        stream_keys,
        {"id": "1", "api_key": "k", "fingerprint": "f", "state": "idle", "created_at": 1},
    ),
    "a live key without a secret": (
        stream_keys,
        {"id": "1", "api_key": "k", "fingerprint": "f", "state": "standby", "created_at": 1},
    ),
    "a retired key with its secret": (
        stream_keys,
        {
            "id": "1",
            "api_key": "k",
            "fingerprint": "f",
            "state": "retired",
            "created_at": 1,
            "secret_ciphertext": "c",
            "encrypted_with": "w",
        },
    ),
    "a client whose id could be a user's": (
        service_clients,
        {"id": "svc_x", "name": "x", "scopes": "[]", "vouches": False, "created_at": 1},
    ),
    "a secret of no client": (
        client_secrets,
        {"id": "1", "client_id": "svc.none", "secret_hash": "h", "created_at": 1},
    ),
}


@pytest.mark.parametrize("table, row", ROWS_THAT_NO_TABLE_TAKES.values(), ids=str)
def test_broken_constraint_raises_integrity_error(database, table, row):
    """It is not reported as an unavailable database."""
    with pytest.raises(sa.exc.IntegrityError), database.write() as tx:
        tx.execute(table.insert(), row)


def stream_key(key_id, api_key, state):
    encrypted = {"secret_ciphertext": "c", "encrypted_with": "w"} if state != "retired" else {}
    return {
        "id": key_id,
        "api_key": api_key,
        "fingerprint": "f",
        "state": state,
        "created_at": 1,
        **encrypted,
    }


@pytest.mark.parametrize(
    "first, second, fits",
    [
        (("k1", "active"), ("k2", "active"), False),
        (("k1", "active"), ("k2", "standby"), True),
        (("k1", "standby"), ("k1", "retiring"), False),
        (("k1", "retired"), ("k1", "active"), True),
        (("k1", "retired"), ("k1", "retired"), True),
    ],
)
def test_database_allows_one_active_key_and_each_live_pair_once(database, first, second, fits):
    """Two processes cannot violate this together."""
    with database.write() as tx:
        tx.execute(stream_keys.insert(), stream_key("1", *first))
    if fits:
        with database.write() as tx:
            tx.execute(stream_keys.insert(), stream_key("2", *second))
        return
    with pytest.raises(sa.exc.IntegrityError), database.write() as tx:
        tx.execute(stream_keys.insert(), stream_key("2", *second))


@pytest.mark.sec(25)
def test_failed_statement_has_no_values_in_its_text(database):
    """Logs contain exceptions."""
    value = uuid.uuid4().hex
    with pytest.raises((sa.exc.DBAPIError, Refusal)) as raised, database.write() as tx:
        tx.execute(sa.text("SELECT no_such_column, :value"), {"value": value})
    printed = "".join(traceback.format_exception(raised.value))
    assert "no_such_column" in printed
    assert value not in printed


def test_invalid_statement_is_not_reported_as_unavailable(database):
    """If the driver distinguishes the two."""
    with pytest.raises((KeyError, sqlite3.ProgrammingError)):
        database.fetch(sa.select(sa.bindparam("missing")))


@pytest.fixture
def small(database, monkeypatch):
    """Yield the database with a pool of one connection, for which no transaction waits long."""
    monkeypatch.setattr(connecting, "_POOL_SECONDS", 0.05)
    opened = Database.open(url_of(database), pool_size=1)
    yield opened
    opened.close()


def test_reads_do_not_use_up_the_pool(small):
    """Their connections are in addition to those of transactions."""
    read = partial(small.fetch, sa.select(app_standing.c.floor))
    assert read() == [(0,)]
    with ExitStack() as held:
        for _ in range(1 + connecting._OVERFLOW):
            held.enter_context(small.read())
        assert read() == [(0,)]


def test_exhausted_pool_refuses(small):
    """With `temporarily_unavailable`."""
    read = partial(small.fetch, sa.select(app_standing.c.floor))
    barrier, release = threading.Barrier(4), threading.Event()

    def hold():
        with small.read():
            barrier.wait()
            release.wait()

    threads = [threading.Thread(target=hold) for _ in range(1 + connecting._OVERFLOW)]
    for thread in threads:
        thread.start()
    barrier.wait()
    with pytest.raises(Refusal) as refused:
        read()
    with pytest.raises(Refusal), small.read():
        pass
    release.set()
    for thread in threads:
        thread.join()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert read() == [(0,)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://root:s3cr3t@db/tokens",
        "postgresql://tokensvc:s3cr3t@db:port/tokens",
        "postgresql+asyncpg://tokensvc:s3cr3t@db/tokens",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:s3cr3t?mode=memory&uri=true",
    ],
)
@pytest.mark.sec(25)
def test_invalid_url_prevents_the_start(url):
    """The text shows valid forms and never the password."""
    with pytest.raises(StartupError, match="database_url") as raised:
        Database.open(url, pool_size=1)
    assert "tokensvc:s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None or "s3cr3t" not in str(raised.value.__cause__.args[0])
