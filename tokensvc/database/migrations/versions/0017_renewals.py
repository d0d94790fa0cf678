"""Keep the latest renewal of each user."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_UNCONFIRMED = sa.text("NOT renewal_confirmed")


def upgrade() -> None:
    """Add columns whose defaults say that there was no renewal: the previous release makes none."""
    confirmed = sa.Column("renewal_confirmed", sa.Boolean, nullable=False, server_default=sa.true())
    op.add_column("user_standings", sa.Column("latest_renewal", sa.BigInteger))
    op.add_column("user_standings", confirmed)
    op.create_index(
        "user_standings_unconfirmed",
        "user_standings",
        ["user_id"],
        sqlite_where=_UNCONFIRMED,
        postgresql_where=_UNCONFIRMED,
    )
