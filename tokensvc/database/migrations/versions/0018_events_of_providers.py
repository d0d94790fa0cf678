"""Add the tables of providers' events: which were applied, and which sessions they ended."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create both tables. The previous release does not use them."""
    for table in ("applied_events", "ended_provider_sessions"):
        op.create_table(
            table,
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("expires_at", sa.BigInteger, nullable=False),
        )
        op.create_index(f"{table}_by_expiry", table, ["expires_at"])
