"""Create the schema. Databases of the versions before it, which were never released, have it."""

import secrets

from alembic import op

from tokensvc.database.migrations.tables_0015 import (
    app_standing,
    audit_purge,
    live_database,
    metadata,
)

revision = "0015"
down_revision = None

_SQLITE_TRIGGERS = (
    """
    CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END
    """,
    """
    CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    WHEN OLD.time >= (SELECT purged_before FROM audit_purge)
    BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END
    """,
    # INSERT OR REPLACE takes the old row out and calls no trigger of its deletion.
    """
    CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
    WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END
    """,
    """
    CREATE TRIGGER service_clients_record_id AFTER INSERT ON service_clients
    BEGIN INSERT INTO client_ids (id) VALUES (NEW.id); END
    """,
)
_POSTGRESQL_TRIGGERS = (
    """
    CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.time < (SELECT purged_before FROM audit_purge) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit_events is append-only';
    END $$
    """,
    """
    CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_append_only()
    """,
    # TRUNCATE calls no trigger of a row.
    """
    CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()
    """,
    """
    CREATE FUNCTION service_clients_record_id() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO client_ids (id) VALUES (NEW.id);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER service_clients_record_id AFTER INSERT ON service_clients
    FOR EACH ROW EXECUTE FUNCTION service_clients_record_id()
    """,
)


def upgrade() -> None:
    """
    Create the tables, the triggers, and the rows that a database has once.

    Each database begins with IDs of its own for the versions of its rings, so that the version of
    one database never passes for that of another.
    """
    connection = op.get_bind()
    metadata.create_all(connection)
    on_sqlite = connection.dialect.name == "sqlite"
    for statement in _SQLITE_TRIGGERS if on_sqlite else _POSTGRESQL_TRIGGERS:
        op.execute(statement)
    ring_ids = {name: secrets.token_hex(16) for name in ("ring_id", "signing_ring_id")}
    op.execute(app_standing.insert().values(id=1, **ring_ids))
    op.execute(audit_purge.insert().values(id=1))
    op.execute(live_database.insert().values(id=1, sign_up_closed=False))
