"""The migration that gives the columns of revocations the names of the code."""

import pytest
import sqlalchemy as sa

from tokensvc.core.errors import StartupError
from tokensvc.database import schema
from tokensvc.revocations.tables import revocations

COLUMNS = "id, user_id, kind, cause, tokens_valid_after, created_at, settled, actor"
ROWS = (
    "'a', 'ada', 'suspension', NULL, 1, 1, true",
    "'b', 'bob', 'revocation', 'deletion', 2, 2, false",
)


def test_revocations_keep_their_kind_and_confirmation(empty_database, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(schema, "head", lambda: "0015")
        schema.migrate(empty_database)
    with empty_database.write() as tx:
        for row in (
            "'a', 'ada', 'suspension', NULL, 1, 1, true",
            "'b', 'bob', 'revocation', 'deletion', 2, 2, false",
        ):
            tx.exec_driver_sql(f"INSERT INTO revocations ({COLUMNS}) VALUES ({row}, 'cli:test')")
    assert schema.migrate(empty_database)[0] == "0016"
    found = sa.select(revocations.c.kind, revocations.c.confirmed).order_by(revocations.c.id)
    with empty_database.read() as connection:
        assert connection.execute(found).all() == [("suspension", True), ("deletion", False)]
    with pytest.raises(sa.exc.IntegrityError), empty_database.write() as tx:
        tx.execute(revocations.update().values(kind="accident"))


def test_schema_older_than_the_first_release_is_refused(database):
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    assert schema.status(database) == "behind"
    with pytest.raises(StartupError, match="schema 0009, of a version that was never released"):
        schema.migrate(database)
