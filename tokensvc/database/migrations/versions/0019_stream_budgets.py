"""Count the calls to Stream of all senders together."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add a table that the previous release does not use."""
    op.create_table(
        "stream_budgets",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("unused_at", sa.BigInteger, nullable=False, server_default="0"),
    )
