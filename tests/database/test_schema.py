"""Migrations."""

import shutil
import subprocess
import sys
import time
from math import inf

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from testing.database_parts import engine_of
from testing.database_url import url_of
from testing.service import ROOT
from testing.tables import all_tables
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.database import postgresql_connection, schema
from tokensvc.database.engine import Database
from tokensvc.standing.tables import app_standing, user_standings

REVISIONS = list(schema._REVISIONS)
"""Of this release."""

MIGRATE = """
import sys
from tokensvc.database import schema
from tokensvc.database.engine import Database
database = Database.open(sys.argv[1], pool_size=1)
print(*schema.migrate(database))
database.close()
"""


def start_migrating(url):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", MIGRATE, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def table_names(database):
    with database.read() as connection:
        return set(sa.inspect(connection).get_table_names())


@pytest.fixture
def next_release(tmp_path, monkeypatch):
    """Return a function that adds a migration to this release."""

    def with_migration(body):
        folder = tmp_path / "100% migrations"
        shutil.copytree(schema._MIGRATIONS, folder)
        (folder / "versions" / "9999_more.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision, down_revision = '9999', '{REVISIONS[-1]}'\ndef upgrade():\n    {body}\n"
        )
        monkeypatch.setattr(schema, "_MIGRATIONS", folder)
        monkeypatch.setattr(schema, "_REVISIONS", [*REVISIONS, "9999"])

    return with_migration


MAKE_TABLE = "op.create_table('more', sa.Column('id', sa.Text, primary_key=True))"


def test_empty_database_is_migrated_once(empty_database):
    """Then the app's only row exists, and a second run does nothing."""
    assert schema.status(empty_database) == "empty"
    assert schema.migrate(empty_database) == REVISIONS
    assert schema.status(empty_database) == "current"
    assert schema.migrate(empty_database) == []
    with empty_database.read() as connection:
        (row,) = connection.execute(sa.select(app_standing)).all()
    assert tuple(row) == (1, None, 0, 0, row.ring_id, 0, 0, row.signing_ring_id)


def test_tables_equal_the_result_of_the_migrations(database):
    """Columns, indexes and keys."""
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, all_tables()) == []
    assert table_names(database) == {*all_tables().tables, "alembic_version"}


def test_revisions_have_one_head_and_no_branch():
    """File names and Alembic agree."""
    scripts = list(ScriptDirectory(schema._MIGRATIONS).walk_revisions())
    assert [script.revision for script in reversed(scripts)] == schema._REVISIONS
    assert [script.down_revision for script in reversed(scripts)] == [
        None,
        *schema._REVISIONS[:-1],
    ]
    assert schema.head() == schema._REVISIONS[-1]


def test_empty_schema_prevents_the_start(empty_database):
    """The text names the command."""
    with pytest.raises(StartupError, match="`tokensvc migrate`"):
        schema.require_current(empty_database)


def test_schema_behind_is_refused_until_migrated(database, next_release):
    """Only the missing migration is applied."""
    with database.write() as tx:
        tx.execute(user_standings.insert(), {"user_id": "ada"})
    next_release(MAKE_TABLE)
    assert schema.status(database) == "behind"
    with pytest.raises(schema.SchemaBehindError, match="behind: run `tokensvc migrate`"):
        schema.require_current(database)
    assert schema.migrate(database) == ["9999"]
    schema.require_current(database)
    assert "more" in table_names(database)
    with database.read() as connection:
        assert connection.scalar(sa.select(user_standings.c.user_id)) == "ada"


def test_schema_ahead_is_accepted(database, next_release, monkeypatch):
    """After a rollback the previous release works on the newer schema."""
    with monkeypatch.context():
        next_release(MAKE_TABLE)
        schema.migrate(database)
    monkeypatch.undo()
    assert schema.status(database) == "ahead"
    schema.require_current(database)
    assert schema.migrate(database) == []
    assert schema.status(database) == "ahead"


def test_failed_migration_changes_nothing(database, next_release):
    """The next attempt starts again from the same schema."""
    next_release(f"{MAKE_TABLE}; raise RuntimeError('half way')")
    with pytest.raises(RuntimeError, match="half way"):
        schema.migrate(database)
    assert schema.status(database) == "behind"
    assert "more" not in table_names(database)


def test_simultaneous_migrations_apply_each_step_once(empty_database):
    processes = [start_migrating(url_of(empty_database)) for _ in range(4)]
    responses = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, responses
    assert sorted(output.strip() for output, _ in responses) == ["", "", "", " ".join(REVISIONS)]
    assert schema.status(empty_database) == "current"


def test_migration_waits_for_the_lock(postgres, postgres_url):
    """Without a timeout, while another process migrates."""
    database = Database.open(postgres_url, pool_size=1)
    with postgres.connection() as watcher:
        with database.migration() as first:
            process = start_migrating(postgres_url)
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not watcher.execute(waiting).fetchone()[0]:
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            assert not sa.inspect(first).get_table_names()
        output, _ = process.communicate(timeout=60)
    database.close()
    assert output.split() == REVISIONS


def test_migration_has_no_timeout(postgres_url):
    """Afterwards the connection has its limit again."""
    database = Database.open(postgres_url, pool_size=1)
    limits = ("statement_timeout", "lock_timeout")
    with database.migration() as tx:
        driver = tx.connection.dbapi_connection
        assert driver.time_limit == inf
        assert [tx.exec_driver_sql(f"SHOW {name}").scalar() for name in limits] == ["0", "0"]
    with database.read() as connection:
        assert connection.connection.dbapi_connection is driver
    assert driver.time_limit == postgresql_connection.RESPONSE_SECONDS
    database.close()


def test_migration_of_an_unavailable_database_is_refused(postgres, postgres_url):
    database = Database.open(postgres_url, pool_size=1)
    with postgres.connection() as admin:
        admin.execute(f"DROP DATABASE {engine_of(database).url.database}")
    with pytest.raises(Refusal):
        schema.migrate(database)
