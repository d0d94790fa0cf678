"""Keep which users are erased, and let Stream delete them."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_INDEXES = {
    "deliveries_open": (
        ["kind", "state", "is_renewal", "due_at"],
        sa.text("state NOT IN ('applied', 'obsolete')"),
    ),
    "deliveries_finished": (["updated_at"], sa.text("state IN ('applied', 'obsolete')")),
    "deliveries_late": (
        ["kind", "state", "is_renewal", "late_since"],
        sa.text("late_since IS NOT NULL"),
    ),
}


def upgrade() -> None:
    """Add columns, and allow a kind of delivery that the previous release leaves alone."""
    op.add_column("user_standings", sa.Column("erased_at", sa.BigInteger))
    for name in _INDEXES:
        op.drop_index(name, "deliveries")
    with op.batch_alter_table("deliveries") as batch:
        batch.add_column(sa.Column("task", sa.Text))
        batch.drop_constraint("delivery_kind", type_="check")
        batch.create_check_constraint(
            "delivery_kind", "kind IN ('app', 'user', 'profile', 'erasure')"
        )
    for name, (columns, rows) in _INDEXES.items():
        op.create_index(name, "deliveries", columns, sqlite_where=rows, postgresql_where=rows)
