"""Rename the delivery state `moot` to `obsolete`."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_STATES = "state IN ('pending', 'applied', 'absent', 'failed', 'obsolete')"
_OPEN = sa.text("state NOT IN ('applied', 'obsolete')")


def upgrade() -> None:
    """
    Rename the value in the rows, the constraint and the partial index.

    The previous release cannot read the new value: stop it before this migration.
    """
    op.drop_index("deliveries_open", "deliveries")
    if op.get_bind().dialect.name == "sqlite":
        _copy()
    else:
        op.drop_constraint("delivery_state", "deliveries")
        op.execute("UPDATE deliveries SET state = 'obsolete' WHERE state = 'moot'")
        op.create_check_constraint("delivery_state", "deliveries", _STATES)
    op.create_index(
        "deliveries_open",
        "deliveries",
        ["kind", "state", "due_at"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )


def _copy() -> None:
    """Copy the table, because SQLite cannot change a constraint."""
    op.rename_table("deliveries", "deliveries_0002")
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
        sa.CheckConstraint(_STATES, name="delivery_state"),
    )
    op.execute(
        """
        INSERT INTO deliveries
        SELECT kind, subject, version, applied_version,
            CASE state WHEN 'moot' THEN 'obsolete' ELSE state END,
            due_at, lease_until, attempts, resend_at, absent_since, last_error, updated_at
        FROM deliveries_0002
        """
    )
    op.drop_table("deliveries_0002")
