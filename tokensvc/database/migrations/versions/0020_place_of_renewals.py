"""Keep which deliveries are only a renewal: those come after cut-offs."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_INDEXES = {
    "deliveries_open": ("due_at", sa.text("state NOT IN ('applied', 'obsolete')")),
    "deliveries_late": ("late_since", sa.text("late_since IS NOT NULL")),
}


def upgrade() -> None:
    """Add the column, whose default is what the previous release delivers, to the indexes too."""
    is_renewal = sa.Column("is_renewal", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("deliveries", is_renewal)
    for name, (order, rows) in _INDEXES.items():
        op.drop_index(name, "deliveries")
        columns = ["kind", "state", "is_renewal", order]
        op.create_index(name, "deliveries", columns, sqlite_where=rows, postgresql_where=rows)
