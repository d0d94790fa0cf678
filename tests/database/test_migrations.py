"""Migrations of databases with data of the previous version."""

import pytest
import sqlalchemy as sa

from tokensvc.audit.rules import DONE, Action
from tokensvc.database import schema
from tokensvc.database.tables import (
    app_standing,
    audit_events,
    client_ids,
    deliveries,
    revocations,
    service_clients,
    user_standings,
)

COLUMNS = "kind, subject, version, applied_version, state, due_at, attempts, updated_at"


@pytest.fixture
def migrated_to(empty_database, monkeypatch):
    """Return a function that migrates the database to a revision."""

    def migrated_to(revision):
        with monkeypatch.context() as patched:
            patched.setattr(schema, "head", lambda: revision)
            schema.migrate(empty_database)
        return empty_database

    return migrated_to


@pytest.fixture
def at_0002(migrated_to):
    """Return a database of revision 0002 with deliveries."""
    database = migrated_to("0002")
    with database.write() as tx:
        for number, state in enumerate(("pending", "applied", "moot")):
            row = f"'user', 'u{number}', {number + 3}, 2, '{state}', 100, 4, 90"
            tx.exec_driver_sql(f"INSERT INTO deliveries ({COLUMNS}) VALUES ({row})")
    return database


def test_moot_deliveries_become_obsolete(at_0002):
    """All columns stay; only the state's name changes, in the constraint too."""
    assert schema.migrate(at_0002)[-1] == schema.head()
    with at_0002.read() as connection:
        names = [deliveries.c[name.strip()] for name in COLUMNS.split(",")]
        rows = connection.execute(sa.select(*names).order_by(deliveries.c.subject)).all()
    assert rows == [
        ("user", "u0", 3, 2, "pending", 100, 4, 90),
        ("user", "u1", 4, 2, "applied", 100, 4, 90),
        ("user", "u2", 5, 2, "obsolete", 100, 4, 90),
    ]
    with pytest.raises(sa.exc.IntegrityError), at_0002.write() as tx:
        tx.execute(deliveries.update().values(state="moot"))


def test_deliveries_that_stream_lacks_are_late_since_their_last_change(at_0002):
    schema.migrate(at_0002)
    with at_0002.read() as connection:
        late = sa.select(deliveries.c.late_since).order_by(deliveries.c.subject)
        assert connection.scalars(late).all() == [90, None, None]


@pytest.mark.sec(67)
def test_ids_of_earlier_clients_count_as_used(migrated_to):
    """Those of deleted clients too, as far as the audit trail still names them."""
    database = migrated_to("0003")
    with database.write() as tx:
        tx.execute(
            service_clients.insert(),
            {"id": "svc.kept", "name": "kept", "scopes": "[]", "vouches": False, "created_at": 0},
        )
        for subject in ("svc.kept", "svc.deleted"):
            event = {"action": Action.CLIENT_CREATED, "actor": "cli:test", "outcome": DONE}
            tx.execute(
                audit_events.insert(), {"id": subject, "time": 1, "subject": subject, **event}
            )
    assert schema.migrate(database)[-1] == schema.head()
    with database.read() as connection:
        used = connection.scalars(sa.select(client_ids.c.id).order_by(client_ids.c.id)).all()
    assert used == ["svc.deleted", "svc.kept"]


def test_previous_release_changes_the_version_of_a_key_ring_that_has_an_id(migrated_to):
    """It writes only the counter."""
    database = migrated_to("0004")
    raise_counter = "UPDATE app_standing SET stream_ring_version = stream_ring_version + 1"
    with database.write() as tx:
        tx.exec_driver_sql(raise_counter)
    schema.migrate(database)
    with database.write() as tx:
        tx.exec_driver_sql(raise_counter)
        version = tx.execute(
            sa.select(app_standing.c.stream_ring_version, app_standing.c.ring_id)
        ).one()
    assert version.stream_ring_version == 2
    assert len(version.ring_id) == 32


def test_previous_release_writes_after_the_migration_to_sessions(migrated_to):
    """New columns of the tables that it writes have defaults; its rows have epoch 0."""
    database = migrated_to("0007")
    with database.write() as tx:
        tx.exec_driver_sql("INSERT INTO user_standings (user_id) VALUES ('ada')")
    schema.migrate(database)
    columns = "id, user_id, kind, tokens_valid_after, created_at, actor"
    with database.write() as tx:
        tx.exec_driver_sql("INSERT INTO user_standings (user_id, suspended_at) VALUES ('bob', 1)")
        tx.exec_driver_sql(
            f"INSERT INTO revocations ({columns}) VALUES ('r', 'bob', 'suspension', 1, 1, 'svc.a')"
        )
        epochs = tx.execute(sa.select(user_standings.c.user_id, user_standings.c.epoch)).all()
        app = tx.execute(sa.select(app_standing)).one()
    assert sorted(epochs) == [("ada", 0), ("bob", 0)]
    assert (app.epoch, app.signing_ring_version, len(app.signing_ring_id)) == (0, 0, 32)
    with pytest.raises(sa.exc.IntegrityError), database.write() as tx:
        tx.execute(revocations.update().values(cause="accident"))
