"""Create the indexes that find undone revocations and finished deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_UNDONE = sa.text("undone_at IS NOT NULL")
_FINISHED = sa.text("state IN ('applied', 'obsolete')")


def upgrade() -> None:
    """Create two indexes. The previous release does not use them."""
    op.create_index(
        "revocations_undone",
        "revocations",
        ["undone_at"],
        sqlite_where=_UNDONE,
        postgresql_where=_UNDONE,
    )
    op.create_index(
        "deliveries_finished",
        "deliveries",
        ["updated_at"],
        sqlite_where=_FINISHED,
        postgresql_where=_FINISHED,
    )
