"""PostgreSQL stopped, refusing, read-only, full or locked."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from testing.database_parts import breaker_of, engine_of, idle_connections
from testing.names import silent_name_server
from testing.refused_writes import refuse_writes
from testing.relay import relayed
from testing.waiting import wait_until
from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.database import connecting, postgresql, postgresql_connection
from tokensvc.database.breaker import MAX_FAILURES, BreakerState
from tokensvc.database.engine import Database
from tokensvc.standing.tables import app_standing, user_standings

OPEN = "database: the breaker is open"
FLOOR = sa.select(app_standing.c.floor)


@pytest.fixture
def url(server):
    return server.migrated_url()


@pytest.fixture
def database(url):
    database = Database.open(url, pool_size=4)
    yield database
    database.close()


@pytest.fixture
def read(database):
    return partial(database.fetch, FLOOR)


@pytest.fixture
def impatient(monkeypatch):
    """Give the server only a moment for each response."""
    monkeypatch.setattr(postgresql_connection.BoundedConnection, "time_limit", 0.4)
    monkeypatch.setattr(postgresql_connection, "_SILENCE_SECONDS", 0.2)


@contextmanager
def frozen(server):
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def stopped(server):
    server.stop()
    try:
        yield
    finally:
        server.start()


def refusal_of(use):
    with pytest.raises(Refusal) as refused:
        use()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.value.retry_after == 5
    assert refused.value.detail == "The database is unavailable. Retry after `Retry-After` seconds."
    return refused.value


def uses(database, read):
    """Return a function for each kind of use."""

    def in_read():
        with database.read():
            pass

    def in_write():
        with database.write():
            pass

    def in_snapshot():
        with database.snapshot():
            pass

    return [read, in_read, in_write, in_snapshot]


def fill_pool(database):
    """Open four connections that stay idle in the pool."""
    with database.read(), database.read(), database.read(), database.read():
        pass


def wait_until_it_works(database, read):
    wait_until(lambda: not breaker_of(database).is_open, "the breaker closes")
    for use in uses(database, read):
        use()


@pytest.mark.sec(25)
def test_stopped_server_refuses_until_its_return(server, database, read):
    """Each kind of use has the same refusal; only its reason, for the log, names the server."""
    fill_pool(database)
    with stopped(server):
        for use in uses(database, read)[:MAX_FAILURES]:
            reason = refusal_of(use).reason
            assert reason.startswith("Cannot connect to the database server /")
        assert [refusal_of(use).reason for use in uses(database, read)] == [OPEN] * 4
    wait_until_it_works(database, read)


@pytest.mark.sec(65)
@pytest.mark.parametrize("use", range(4))
def test_silent_server_is_waited_for_once(server, database, read, impatient, use):
    """The statement is not repeated on another connection."""
    use = uses(database, read)[use]
    use()
    with frozen(server):
        assert refusal_of(use).reason == "database: ServerSilentError"
        assert breaker_of(database).failures == 1
    use()
    assert breaker_of(database).failures == 0


@pytest.mark.sec(65)
def test_silent_server_opens_the_breaker(server, database, read, impatient):
    """On idle connections and on new ones. From then on no request waits for it."""
    fill_pool(database)
    with frozen(server):
        reasons = [
            refusal_of(use).reason for use in (*uses(database, read)[:3], *uses(database, read))
        ]
        assert OPEN not in reasons[:MAX_FAILURES]
        assert reasons[MAX_FAILURES:] == [OPEN] * 4
    wait_until_it_works(database, read)


@pytest.mark.sec(65)
def test_wait_for_a_lock_does_not_count_as_silence(database, monkeypatch):
    """The server works, also if the request ends before the server's own limit for locks."""
    monkeypatch.setattr(postgresql_connection, "_CANCEL_SECONDS", 20.0)  # for a loaded machine
    floor = app_standing.update().values(floor=1).returning(app_standing.c.floor)

    def in_transaction():
        with database.write() as waiting:
            waiting.execute(floor)

    for use in (in_transaction, lambda: database.change(floor, {})):
        with database.write() as holder:
            holder.execute(floor)
            deadline.begin(time.monotonic(), seconds=1.8)
            try:
                with pytest.raises(Refusal) as refused:
                    use()
            finally:
                deadline.end()
        assert refused.value.reason == "database: RequestOverdueError"
        assert breaker_of(database).failures == 0


@pytest.mark.sec(65)
def test_deadline_of_the_request_ends_a_wait(server, database, read):
    """Such a wait is too short to tell whether the server is silent."""
    read()
    with frozen(server):
        try:
            for use in (read, *uses(database, read)):
                deadline.begin(time.monotonic(), seconds=0.2)
                assert refusal_of(use).reason == "database: RequestOverdueError"
        finally:
            deadline.end()
        assert breaker_of(database).failures == 0
    read()


@pytest.mark.sec(65)
def test_deadline_of_the_request_ends_connecting(server, url):
    """Although the driver would wait for longer."""
    database = Database.open(f"{url}&connect_timeout=300", pool_size=1)

    def use():
        deadline.begin(time.monotonic(), seconds=0.2)
        return refusal_of(lambda: write(database)).reason

    with ThreadPoolExecutor(1) as pool, frozen(server):
        assert pool.submit(use).result(timeout=60) == "database: RequestOverdueError"
    database.close()


@pytest.mark.sec(65)
def test_silent_name_server_is_waited_for_until_the_deadline():
    database = Database.open("postgresql://tokensvc@db.example/tokens", pool_size=1)
    with silent_name_server() as held:
        for seconds, reason in ((0.1, "RequestOverdueError"), (9.0, "look-up of db.example")):
            deadline.begin(time.monotonic(), seconds)
            try:
                assert reason in refusal_of(lambda: write(database)).reason
            finally:
                deadline.end()
        assert set(held.names) == {"db.example"}
        assert breaker_of(database).failures == 1
    database.close()


def statements_that_wait(server):
    with server.connection() as admin:
        return admin.execute(
            "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ).fetchall()


@pytest.mark.sec(65)
def test_frozen_first_host_is_left_for_the_next_one(url, database):
    """It accepts connections and never responds."""
    parsed = sa.make_url(url)
    with (
        socket.create_server(("127.0.0.1", 0)) as frozen,
        relayed(f"{parsed.query['host']}/.s.PGSQL.5432") as port,
    ):
        query = {"host": "127.0.0.1,127.0.0.1", "port": f"{frozen.getsockname()[1]},{port}"}
        two_hosts = Database.open(parsed.set(query=query).render_as_string(), pool_size=1)
        assert two_hosts.fetch(FLOOR) == [(0,)]
        frozen.accept()[0].close()
        two_hosts.close()


@pytest.mark.sec(65)
def test_table_that_is_locked_does_not_count_as_silence(
    server, database, read, impatient, monkeypatch
):
    """Its statements end at the server. Otherwise they would use up the server's connections."""
    monkeypatch.setattr(postgresql_connection, "_CANCEL_SECONDS", 20.0)  # for a loaded machine
    read()
    url = engine_of(database).url.set(drivername="postgresql").render_as_string()
    with psycopg.connect(url) as admin:
        admin.execute("LOCK TABLE app_standing")
        for _ in range(2 * MAX_FAILURES):
            assert refusal_of(read).reason == "database: RequestOverdueError"
        assert breaker_of(database) == BreakerState()
        wait_until(lambda: statements_that_wait(server) == [], "the server ends the statements")
    assert read() == [(0,)]


@contextmanager
def exhausted(server):
    server.use_up_connections()
    try:
        yield
    finally:
        server.release_connections()


def test_connections_of_a_process_stay_in_use_while_the_server_has_no_other(server, database, read):
    """Each use waits for one of them."""
    read()
    write(database)

    def use(number):
        for _ in range(10):
            assert read() == [(0,)]
            write(database)
        return number

    with exhausted(server), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(4))) == list(range(4))
    assert breaker_of(database) == BreakerState()


def test_process_without_a_connection_waits_while_the_server_has_no_other(
    server, url, database, monkeypatch
):
    """It is refused when its time is over. The breaker stays closed, because the server works."""
    monkeypatch.setattr(connecting, "_SECONDS", 0.0)
    late = Database.open(url, pool_size=4)
    read = partial(late.fetch, FLOOR)
    with exhausted(server):
        for use in uses(late, read):
            assert "has no connection left" in refusal_of(use).reason
    assert breaker_of(late) == BreakerState()
    wait_until_it_works(late, read)
    late.close()


def test_violation_of_the_protocol_does_not_count(url):
    """The values of a request can cause it."""
    with psycopg.connect(url) as connection:
        result = connection.pgconn.exec_params(b"SELECT $1::int", [])
    error = psycopg.errors.error_from_result(result)
    assert error.sqlstate == "08P01"
    assert not postgresql.is_connection_failure(error)


def write(database):
    with database.write() as tx:
        tx.execute(app_standing.update().values(floor=app_standing.c.floor))


@contextmanager
def read_only(server):
    with server.connection() as admin:

        def set_default(value):
            admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            admin.execute("SELECT pg_reload_conf()")
            show = "SHOW default_transaction_read_only"
            wait_until(lambda: admin.execute(show).fetchone() == (value,), "the setting")

        set_default("on")
        try:
            yield
        finally:
            set_default("off")


def test_read_only_server_opens_the_breaker(server, database, read):
    """Connections that are open still read; no new one is accepted."""
    read()
    write(database)
    with read_only(server):
        assert refusal_of(lambda: write(database)).reason == "database: ReadOnlySqlTransaction"
        assert read() == [(0,)]
        for _ in range(MAX_FAILURES):
            assert "read-only" in refusal_of(lambda: write(database)).reason
        assert refusal_of(read).reason == OPEN
    wait_until_it_works(database, read)


def test_full_disk_fails_only_writes(database, read):
    """It is no connection failure."""
    refuse_writes(database, "user_standings")
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(Refusal) as refused, database.write() as tx:
            tx.execute(user_standings.insert(), {"user_id": "ada"})
        assert refused.value.reason == "database: DiskFull"
        assert read() == [(0,)]
    assert breaker_of(database).failures == 0


def test_restarted_server_is_not_waited_for_on_old_connections(server, database, read):
    """The breaker closes the idle connections, which could be silent."""
    fill_pool(database)
    read()
    with stopped(server):
        for use in uses(database, read)[:MAX_FAILURES]:
            refusal_of(use)
        wait_until(lambda: idle_connections(database) == [], "idle connections are closed")
    wait_until_it_works(database, read)
