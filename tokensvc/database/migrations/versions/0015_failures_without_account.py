"""Index the failures of IDs without an account: only these are purged."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_WITHOUT_ACCOUNT = sa.text("NOT of_account")


def upgrade() -> None:
    """Replace an index. The previous release purges without it, more slowly."""
    op.drop_index("sign_in_failures_by_time", "sign_in_failures")
    op.create_index(
        "sign_in_failures_without_account",
        "sign_in_failures",
        ["last_failed_at"],
        sqlite_where=_WITHOUT_ACCOUNT,
        postgresql_where=_WITHOUT_ACCOUNT,
    )
