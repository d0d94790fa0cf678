"""The statements that PostgreSQL keeps prepared in a session."""

import pytest
import sqlalchemy as sa

from tokensvc.database.tables import app_standing, client_ids

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@pytest.fixture
def read(database):
    return database.prepare(sa.select(app_standing.c.floor))


def prepared_names(connection):
    """Return the statements that the server keeps for a session."""
    query = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'tokensvc%'"
    return {name for (name,) in connection.execute(query)}


def driver_connection(database):
    """Return the connection of the next prepared read."""
    connection = database._statements.take(writes=False)
    database._statements.give_back(connection)
    return connection


def test_server_keeps_repeated_statements_prepared(database, read):
    change = database.prepare_change(app_standing.update().values(floor=1), client_ids)
    for number in range(3):
        assert change({}, {"id": f"svc.{number}"})
        assert read.fetch({}) == (1,)
    connection = driver_connection(database)
    assert prepared_names(connection) == connection.prepared
    assert len(connection.prepared) == 3  # with the settings of a transaction


@pytest.mark.parametrize(
    "loss",
    ["DEALLOCATE ALL", "ALTER TABLE app_standing ALTER floor TYPE numeric"],
    ids=["other session", "migrated"],
)
@pytest.mark.parametrize("first", ["read", "private read", "change"])
def test_statement_that_the_session_cannot_execute_runs_as_text(database, read, loss, first):
    """A pooler has changed the session, or a migration the type of a result: nothing fails."""
    update = app_standing.update().values(floor=app_standing.c.floor + 1)
    change = database.prepare_writes(update.returning(app_standing.c.floor))
    private = database.prepare(sa.select(app_standing.c.floor), private=True)
    uses = {
        "read": lambda: read.fetch({}),
        "private read": lambda: private.fetch({}),
        "change": lambda: change.fetch({}),
    }
    uses["change"](), uses["read"]()
    connection = driver_connection(database)
    connection.execute(loss)
    assert uses[first]() == ((2,) if first == "change" else (1,))
    assert driver_connection(database) is connection
    assert connection.prepared is None
    assert uses["change"]() == ((3,) if first == "change" else (2,))


def test_statement_that_another_client_has_prepared_is_used(database, read):
    read.fetch({})
    connection = driver_connection(database)
    connection.prepared.clear()
    assert read.fetch({}) == (0,)
    assert connection.prepared == prepared_names(connection)


def test_secret_that_a_user_typed_is_not_in_the_text(database):
    """The server shows and logs the text."""
    typed = sa.select(sa.literal("typed"), sa.bindparam("secret", type_=sa.Text))

    def is_shown(private):
        database.prepare(typed, private=private).fetch({"secret": "my-password"})
        activity = sa.text("SELECT query FROM pg_stat_activity WHERE datname = current_database()")
        with database.read() as connection:
            return any("my-password" in text for text in connection.scalars(activity))

    assert not is_shown(private=True)
    assert is_shown(private=False)
