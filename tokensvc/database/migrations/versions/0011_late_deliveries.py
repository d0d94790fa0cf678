"""Store since when Stream lacks a state: `updated_at` changes when attempts fail."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_LATE = sa.text("late_since IS NOT NULL")


def upgrade() -> None:
    """Add the column and its index. The previous release writes rows without it."""
    op.add_column("deliveries", sa.Column("late_since", sa.BigInteger))
    op.execute(
        "UPDATE deliveries SET late_since = updated_at"
        " WHERE state IN ('pending', 'failed') AND applied_version < version"
    )
    op.create_index(
        "deliveries_late",
        "deliveries",
        ["kind", "state", "late_since"],
        sqlite_where=_LATE,
        postgresql_where=_LATE,
    )
