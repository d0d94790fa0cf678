"""Lay what revocation needs: its acts, their delivery to Stream, the audit trail, usage figures."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SQLITE_APPEND_ONLY = (
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
)
_POSTGRESQL_APPEND_ONLY = (
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
)


def upgrade() -> None:
    """Make the tables; what the previous release reads and writes stays as it is."""
    _audit()
    _revocations()
    _deliveries()
    op.add_column("client_secrets", sa.Column("last_used_at", sa.BigInteger))
    op.create_table(
        "unnamed_mints",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("reason", sa.Text),
        sqlite_with_rowid=False,  # else a row can be replaced by its number too
    )
    op.create_index("audit_events_by_time", "audit_events", ["time"])
    op.create_index("audit_events_by_subject", "audit_events", ["subject", "id"])
    op.create_index("audit_events_by_actor", "audit_events", ["actor", "id"])
    purge = op.create_table(
        "audit_purge",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("purged_before", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint("id = 1", name="audit_purge_single_row"),
    )
    op.bulk_insert(purge, [{"id": 1}])
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_APPEND_ONLY if on_sqlite else _POSTGRESQL_APPEND_ONLY:
        op.execute(statement)


def _revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tokens_valid_after", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("undone_at", sa.BigInteger),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.CheckConstraint("kind IN ('revocation', 'suspension')", name="revocation_kind"),
    )
    op.create_index("revocations_by_user", "revocations", ["user_id", "id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("applied_version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("resend_at", sa.BigInteger),
        sa.Column("absent_since", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN ('app', 'user', 'profile')", name="delivery_kind"),
        sa.CheckConstraint(
            "state IN ('pending', 'applied', 'absent', 'failed', 'moot')", name="delivery_state"
        ),
    )
    open_deliveries = sa.text("state NOT IN ('applied', 'moot')")
    op.create_index(
        "deliveries_open",
        "deliveries",
        ["kind", "state", "due_at"],
        sqlite_where=open_deliveries,
        postgresql_where=open_deliveries,
    )
    op.create_table(
        "profiles",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
