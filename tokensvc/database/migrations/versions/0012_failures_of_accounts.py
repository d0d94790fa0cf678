"""Store which failures are those of an account: the stop of an account does not end by a purge."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add a column. The previous release writes rows without it."""
    column = sa.Column("of_account", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("sign_in_failures", column)
