"""Store where the last rotation of a session came from, and whether a client has its token."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add columns. The previous release writes rows without them."""
    op.add_column("sessions", sa.Column("address_hash", sa.Text))
    op.add_column("sessions", sa.Column("network_hash", sa.Text))
    op.add_column("sessions", sa.Column("confirmed_counter", sa.BigInteger))
