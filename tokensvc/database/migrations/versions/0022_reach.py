"""Deliver what a cut-off does not end: hints to connected clients, and the removal of devices."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

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
    """Allow two more kinds. The previous release selects deliveries by the kinds it knows."""
    for name in _INDEXES:
        op.drop_index(name, "deliveries")
    with op.batch_alter_table("deliveries") as batch:
        batch.drop_constraint("delivery_kind", type_="check")
        batch.create_check_constraint(
            "delivery_kind", "kind IN ('app', 'user', 'profile', 'hint', 'devices', 'erasure')"
        )
    for name, (columns, rows) in _INDEXES.items():
        op.create_index(name, "deliveries", columns, sqlite_where=rows, postgresql_where=rows)
