"""Create the indexes that find actions to confirm and floors in the future."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_UNCONFIRMED = sa.text("NOT settled AND undone_at IS NULL")


def upgrade() -> None:
    """Create two indexes. The previous release does not use them."""
    op.create_index(
        "revocations_unconfirmed",
        "revocations",
        ["user_id"],
        sqlite_where=_UNCONFIRMED,
        postgresql_where=_UNCONFIRMED,
    )
    op.create_index("user_standings_by_floor", "user_standings", ["floor"])
