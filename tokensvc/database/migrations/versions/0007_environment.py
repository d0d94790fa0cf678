"""Create the table for the environment that made the database."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table. It stays empty in an existing database until the next start."""
    op.create_table(
        "database_environment",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="environment_single_row"),
        sa.CheckConstraint(
            "environment IN ('production', 'development')", name="environment_value"
        ),
    )
