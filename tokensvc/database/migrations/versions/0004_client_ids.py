"""Keep the IDs of all clients that ever existed, so that none passes to another client."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# A trigger, so that the previous release records IDs too while both run.
_SQLITE_RECORD = (
    """
    CREATE TRIGGER service_clients_record_id AFTER INSERT ON service_clients
    BEGIN INSERT INTO client_ids (id) VALUES (NEW.id); END
    """,
)
_POSTGRESQL_RECORD = (
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
    """Create the table with the IDs of all clients, and of those that the audit trail names."""
    op.create_table("client_ids", sa.Column("id", sa.Text, primary_key=True))
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_RECORD if on_sqlite else _POSTGRESQL_RECORD:
        op.execute(statement)
    # After the trigger, whose creation waits until no other transaction inserts clients.
    op.execute(
        """
        INSERT INTO client_ids (id)
        SELECT id FROM service_clients
        UNION SELECT subject FROM audit_events WHERE action = 'client:created'
        """
    )
