"""The tables of the states that Stream must have."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

# Statements repeat these texts of the indexes, because SQLite compares texts.
IS_OPEN = sa.text("state NOT IN ('applied', 'obsolete')")
IS_LATE = sa.text("late_since IS NOT NULL")
IS_FINISHED = sa.text("state IN ('applied', 'obsolete')")

deliveries = sa.Table(
    "deliveries",
    metadata,
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
    sa.Column("late_since", sa.BigInteger),
    sa.Column("is_renewal", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("task", sa.Text),
    sa.CheckConstraint(
        "kind IN ('app', 'user', 'profile', 'hint', 'devices', 'erasure')", name="delivery_kind"
    ),
    sa.CheckConstraint(
        "state IN ('pending', 'applied', 'absent', 'failed', 'obsolete')", name="delivery_state"
    ),
    sa.Index(
        "deliveries_open",
        "kind",
        "state",
        "is_renewal",
        "due_at",
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    ),
    sa.Index(
        "deliveries_finished", "updated_at", sqlite_where=IS_FINISHED, postgresql_where=IS_FINISHED
    ),
    sa.Index(
        "deliveries_late",
        "kind",
        "state",
        "is_renewal",
        "late_since",
        sqlite_where=IS_LATE,
        postgresql_where=IS_LATE,
    ),
)
"""The version of each cut-off or profile that Stream must have, and the one it is known to have."""

budgets = sa.Table(
    "stream_budgets",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("unused_at", sa.BigInteger, nullable=False, server_default="0"),
)
"""Stream's endpoints, and when the budget of calls to each is unused again, in microseconds."""

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
"""The user objects that Stream must have, as JSON."""
