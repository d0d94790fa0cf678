"""Add the random part of the key ring's version."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """
    Add the column. The previous release does not write it: its changes still raise the counter.

    Each database begins with an ID of its own, so that one never passes for another.
    """
    op.add_column(
        "app_standing", sa.Column("ring_id", sa.Text, nullable=False, server_default=sa.text("''"))
    )
    app_standing = sa.table("app_standing", sa.column("ring_id", sa.Text))
    op.execute(app_standing.update().values(ring_id=secrets.token_hex(16)))
