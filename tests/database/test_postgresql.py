"""Promises of PostgreSQL only: settings of transactions, addresses, disconnected connections."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from testing.database_parts import idle_connections
from testing.service import free_port
from tokensvc.core.errors import Code, Refusal
from tokensvc.database import postgresql, schema
from tokensvc.database.engine import Database
from tokensvc.database.statements import StatementConnections
from tokensvc.standing.tables import app_standing, user_standings

FLOOR = sa.select(app_standing.c.floor)


@pytest.fixture
def database(server):
    database = Database.open(server.migrated_url(), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def read(database):
    return partial(database.fetch, FLOOR)


def fill_pool(database):
    """Open four connections that stay idle in the pool."""
    with database.read(), database.read(), database.read(), database.read():
        pass


def settings(database):
    """Return the settings in a transaction that writes, in a snapshot, and outside both."""
    for transaction in (database.write, database.snapshot, database.read):
        with transaction() as connection:
            yield dict(connection.exec_driver_sql("SELECT name, setting FROM pg_settings").all())


def test_transaction_has_timeouts_and_durable_commits(database):
    """Whatever the server's defaults are. The session has none: a pooler could hand it on."""
    writing, reading, session = settings(database)
    for found in (writing, reading):
        assert found["statement_timeout"] == "3000"
        assert found["lock_timeout"] == "2000"
        assert found["idle_in_transaction_session_timeout"] == "10000"
        assert found["synchronous_commit"] == "on"
    assert writing["transaction_isolation"] == "read committed"
    assert reading["transaction_isolation"] == "repeatable read"
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert session[name] == "0"
    assert session["application_name"] == "tokensvc"


def test_change_has_a_limit_for_locks_and_a_durable_commit(database):
    """It is one statement, with a transaction of its own."""
    names = ("lock_timeout", "synchronous_commit")
    found = sa.func.concat_ws(", ", *(sa.func.current_setting(name) for name in names))
    update = app_standing.update().values(ring_id=found).returning(app_standing.c.ring_id)
    assert database.change(update, {}) == [("2s, on",)]


def test_change_is_on_disk_before_it_returns(server):
    """Also if commits of the database do not wait for that."""
    url = server.fresh_url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET synchronous_commit = off")
        admin.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")  # it would write early
        admin.execute("SELECT pg_reload_conf()")
    database = Database.open(url, pool_size=1)
    schema.migrate(database)
    update = app_standing.update().values(floor=app_standing.c.floor + 1)
    update = update.returning(sa.cast(sa.func.pg_current_wal_insert_lsn(), sa.Text))
    for _ in range(3):
        ((written,),) = database.change(update, {})
        on_disk = sa.text(f"SELECT pg_current_wal_flush_lsn() > '{written}'")
        assert database.fetch(on_disk) == [(True,)]
    database.close()


def test_change_that_waits_too_long_for_a_lock_changes_nothing(database):
    update = app_standing.update().where(app_standing.c.floor == sa.bindparam("seen"))
    update = update.values(floor=sa.bindparam("new")).returning(app_standing.c.floor)
    with database.write() as tx:
        tx.execute(sa.select(app_standing).with_for_update())
        with pytest.raises(Refusal) as refused:
            database.change(update, {"seen": 0, "new": 1})
    assert refused.value.reason == "database: LockNotAvailable"
    assert database.change(update, {"seen": 0, "new": 1}) == [(1,)]
    assert database.change(update, {"seen": 0, "new": 1}) == []


@pytest.mark.parametrize(
    "name, default, found",
    [
        ("synchronous_commit", "off", "on"),
        ("synchronous_commit", "local", "on"),
        ("synchronous_commit", "remote_apply", "remote_apply"),
        ("default_transaction_isolation", "serializable", "read committed"),
        ("statement_timeout", "0", "3000"),
    ],
)
def test_stronger_synchronous_commit_is_kept(server, name, default, found):
    """A weaker one is replaced."""
    url = server.fresh_url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET {name} = '{default}'")
    database = Database.open(url, pool_size=1)
    writing, *_ = settings(database)
    assert writing[name.removeprefix("default_")] == found
    database.close()


def test_standby_is_refused(server):
    """It may lack a revocation."""
    url = server.fresh_url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET default_transaction_read_only = on")
    database = Database.open(f"{url}&target_session_attrs=any", pool_size=1)
    with pytest.raises(Refusal) as refused:
        schema.status(database)
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_postgres_urls_of_hosting_services_work(server):
    """They write `postgres://`."""
    url = server.fresh_url().partition("://")[2]
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        database = Database.open(f"{scheme}://{url}", pool_size=1)
        assert schema.status(database) == "empty"
        database.close()


def test_server_restart_fails_no_later_request(server, database, read):
    for _ in range(2):
        fill_pool(database)
        assert server.cut_connections() >= 4
        assert read() == [(0,)]
        fill_pool(database)
        assert server.cut_connections() >= 4
        with database.read() as connection:
            assert connection.scalar(sa.select(app_standing.c.floor)) == 0
        fill_pool(database)
        assert server.cut_connections() >= 4
        with database.write() as tx:
            tx.execute(app_standing.update().values(floor=app_standing.c.floor))


def test_many_threads_survive_disconnected_connections(server, database, read):
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            fill_pool(database)
            assert server.cut_connections() >= 4
            rows = [pool.submit(read) for _ in range(4)]
            assert [row.result() for row in rows] == [[(0,)]] * 4


def test_retry_uses_a_new_connection(server, database, read, monkeypatch):
    """Although other disconnected ones are in the pool."""
    run, taken = StatementConnections._run, ExitStack()

    def run_while_others_take_connections(self, use, *, writes):
        try:
            return run(self, use, writes=writes)
        except Exception:
            taken.enter_context(database.read())
            raise

    monkeypatch.setattr(StatementConnections, "_run", run_while_others_take_connections)
    fill_pool(database)
    assert server.cut_connections() >= 4
    with taken:
        assert read() == [(0,)]


def read_at_once(database, count):
    """Open so many connections of reads that stay idle, by simultaneous reads."""

    def use(connection):
        if count > 1:
            read_at_once(database, count - 1)
        return connection.fetch(FLOOR, {})

    database._statements.run(use, writes=False)


def test_disconnected_connections_of_reads_are_replaced(server, database, read):
    """All together, like those of the pool."""
    for _ in range(2):
        read_at_once(database, 4)
        assert server.cut_connections() >= 4
        assert read() == [(0,)]
        assert len(idle_connections(database)) == 1


def test_close_closes_the_connections_of_reads(database, read):
    """A later read opens a new one."""
    read_at_once(database, 2)
    idle = list(idle_connections(database))
    database.close()
    assert [connection.closed for connection in idle] == [True, True]
    assert read() == [(0,)]


def test_connection_of_a_failed_read_is_not_reused(database):
    query = sa.select(sa.literal(1) / sa.bindparam("divisor", type_=sa.Integer))
    for divisor in (0, object(), "1\0"):
        with pytest.raises(psycopg.Error):
            database.fetch(query, {"divisor": divisor})
        assert idle_connections(database) == []
    assert database.fetch(query, {"divisor": 1}) == [(1,)]
    assert len(idle_connections(database)) == 1


def test_disconnected_transaction_is_refused_and_rolled_back(server, database):
    """It is not retried."""
    with pytest.raises(Refusal) as refused, database.write() as tx:
        tx.execute(user_standings.insert(), {"user_id": "ada"})
        assert server.cut_connections() >= 1
        tx.execute(user_standings.insert(), {"user_id": "bob"})
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    with database.write() as tx:
        assert tx.execute(sa.select(user_standings.c.user_id)).all() == []


def test_disconnection_before_commit_is_refused(server, database):
    """A commit that did not reach the server is never reported as done."""
    with pytest.raises(Refusal), database.write() as tx:
        tx.execute(user_standings.insert(), {"user_id": "ada"})
        assert server.cut_connections() >= 1
    with database.read() as connection:
        assert connection.execute(sa.select(user_standings.c.user_id)).all() == []


def test_missing_right_is_an_outage_that_names_the_remedy(server):
    """As after a migration by another role."""
    url = server.migrated_url()
    owner = Database.open(url, pool_size=1)
    owner.close()
    with server.connection() as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    stranger = Database.open(url.replace("postgres@", "stranger@"), pool_size=1)
    with pytest.raises(Refusal, match="grant the role of `database_url`") as refused:
        stranger.fetch(FLOOR)
    stranger.close()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_each_address_of_each_host_is_tried(server, monkeypatch):
    """The first host refuses, the second is the folder of a socket."""
    folder = server.fresh_url().partition("host=")[2]
    url = f"postgresql://postgres@/postgres?host=127.0.0.1:{free_port()}&host={folder}:5432"
    database = Database.open(url, pool_size=1)
    assert schema.status(database) == "empty"
    database.close()
    found = [(0, 0, 0, "", (address, 0)) for address in ("192.0.2.1", "2001:db8::1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    given = {"host": "a", "port": "1", "user": "u"}
    assert postgresql._with_addresses(given) == {
        "host": "a,a",
        "hostaddr": "192.0.2.1,2001:db8::1",
        "port": "1",
        "user": "u",
    }
