"""Create the marker of the live database, and add the details of audit events."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """
    Create the table with the marker, and add the column.

    The database that is migrated is the live one: before this revision no backup was made that
    lacks the marker.
    """
    live_database = op.create_table(
        "live_database",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sign_up_closed", sa.Boolean, nullable=False),
        sa.CheckConstraint("id = 1", name="live_database_single_row"),
    )
    op.execute(live_database.insert().values(id=1, sign_up_closed=False))
    op.add_column("audit_events", sa.Column("details", sa.Text))
