"""The statements that a connection to PostgreSQL keeps prepared."""

from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from testing.database_parts import idle_connections
from tokensvc.database.statements import run
from tokensvc.standing.tables import app_standing

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

FLOOR = sa.select(app_standing.c.floor)
RAISE_UNSEEN = app_standing.update().values(floor=app_standing.c.floor + 1)
RAISE = RAISE_UNSEEN.returning(sa.text("1"))
DUPLICATE = app_standing.insert().values(id=1, floor=0, ring_id="", signing_ring_id="")


@pytest.fixture
def uses(database):
    """Return each kind of use outside transactions."""
    return {
        "read": partial(database.fetch, FLOOR),
        "change": partial(database.change, RAISE, {}),
    }


def connection_of(database):
    """Return the connection of the next statement."""
    (connection,) = idle_connections(database)
    return connection


def prepared_names(connection):
    """Return the statements that the server keeps for a session."""
    query = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'tokensvc%'"
    return {name.encode() for (name,) in connection.execute(query)}


def test_server_keeps_repeated_statements_prepared(database, uses):
    for number in range(3):
        assert uses["change"]()
        assert uses["read"]() == [(number + 1,)]
    connection = connection_of(database)
    assert prepared_names(connection) == connection.prepared
    assert len(connection.prepared) == 2


@pytest.mark.parametrize("use", ["read", "change"])
def test_statement_that_the_session_does_not_have_runs_as_text(database, uses, use):
    """A pooler has changed the session. Nothing fails, and the process prepares no more."""
    uses["change"](), uses["read"]()
    connection = connection_of(database)
    connection.execute("DEALLOCATE ALL")
    assert uses[use]() == [(1,)]
    assert connection_of(database) is connection
    assert uses["change"]()
    assert prepared_names(connection) == set()


def test_statement_that_another_client_has_prepared_runs_as_text(database, uses):
    """Behind a pooler, in the same session."""
    uses["read"]()
    connection = connection_of(database)
    connection.prepared.clear()
    assert uses["read"]() == [(0,)]
    assert not connection.preparation.is_possible


def test_statement_whose_result_a_migration_has_changed_is_prepared_again(database, uses):
    uses["change"](), uses["read"]()
    connection = connection_of(database)
    with database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE app_standing ALTER floor TYPE numeric")
    assert uses["read"]() == [(1,)]
    renewed = connection_of(database)
    assert renewed is not connection
    assert prepared_names(renewed) == renewed.prepared != set()


@pytest.mark.parametrize("is_direct", [True, False])
def test_transaction_prepares_statements_only_without_a_pooler(database, is_direct):
    """A statement that its session does not have would abort it."""
    with database.write() as tx:
        driver = tx.connection.dbapi_connection
        assert driver.is_direct
        driver.is_direct = is_direct
        assert run(tx, FLOOR) == [(0,)]
        assert prepared_names(driver) == driver.prepared
        assert bool(driver.prepared) is is_direct


def test_change_without_rows_is_sent_with_the_next_statement(database):
    """Each message is a wait for the server, so a sign-in sends few of them."""
    with database.write() as tx:
        driver = tx.connection.dbapi_connection
        run(tx, RAISE_UNSEEN)
        run(tx, RAISE_UNSEEN)
        assert len(driver.unsent) == 2
        assert run(tx, FLOOR) == [(2,)]
        run(tx, RAISE_UNSEEN)
        with tx.begin_nested() as savepoint:
            run(tx, RAISE_UNSEEN)
            assert tx.scalar(FLOOR) == 4
            run(tx, RAISE_UNSEEN)
            savepoint.rollback()
        run(tx, RAISE_UNSEEN)
    assert database.fetch(FLOOR) == [(4,)]
    assert driver.unsent == []


def test_exception_ends_the_transaction_without_the_waiting_changes(database):
    with pytest.raises(ZeroDivisionError), database.write() as tx:
        run(tx, DUPLICATE)
        _ = 1 / 0
    assert database.fetch(FLOOR) == [(0,)]


@pytest.mark.parametrize("last", [FLOOR, None])
def test_change_that_fails_later_rolls_the_transaction_back(database, last):
    """With the commit, or with the statement whose rows are read."""
    with pytest.raises((sa.exc.IntegrityError, psycopg.IntegrityError)), database.write() as tx:
        driver = tx.connection.dbapi_connection
        for change in (RAISE_UNSEEN, DUPLICATE, RAISE_UNSEEN):
            run(tx, change)
        if last is not None:
            run(tx, last)
    with database.write() as tx:
        assert tx.connection.dbapi_connection is driver
        assert run(tx, FLOOR) == [(0,)]


def test_process_prepares_no_more_after_a_change_that_was_refused_with_the_commit(database):
    with database.write() as tx:
        driver = tx.connection.dbapi_connection
        run(tx, RAISE_UNSEEN)
    driver.execute("DEALLOCATE ALL")
    with pytest.raises(sa.exc.DBAPIError), database.write() as tx:
        run(tx, RAISE_UNSEEN)
    with database.write() as tx:
        run(tx, RAISE_UNSEEN)
    assert database.fetch(FLOOR) == [(2,)]


def test_value_is_not_in_the_text(database):
    """The server shows and logs the text, and users type passwords into the field of the ID."""
    typed = sa.select(sa.literal("typed"), sa.bindparam("secret", type_=sa.Text))
    database.fetch(typed, {"secret": "my-password"})
    with database.write() as tx:
        run(tx, typed, {"secret": "my-password"})
        activity = sa.text("SELECT query FROM pg_stat_activity WHERE datname = current_database()")
        texts = list(tx.scalars(activity))
    assert [text for text in texts if "typed" in text or "SELECT $1" in text]
    assert not [text for text in texts if "my-password" in text]
