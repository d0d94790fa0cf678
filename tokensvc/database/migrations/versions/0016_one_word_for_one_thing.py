"""Name columns of revocations as the code does, and keep the kind of each in one column."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_UNCONFIRMED = sa.text("NOT confirmed AND undone_at IS NULL")


def upgrade() -> None:
    """Rename `settled`, and move `cause` to `kind`. No release needs the old names."""
    op.drop_index("revocations_unconfirmed", "revocations")
    with op.batch_alter_table("revocations") as batch:
        batch.drop_constraint("revocation_kind", type_="check")
        batch.drop_constraint("revocation_cause", type_="check")
        batch.alter_column("settled", new_column_name="confirmed")
    op.execute("UPDATE revocations SET kind = cause WHERE cause IS NOT NULL")
    with op.batch_alter_table("revocations") as batch:
        batch.drop_column("cause")
        batch.create_check_constraint(
            "revocation_kind", "kind IN ('revocation', 'suspension', 'password', 'deletion')"
        )
    op.create_index(
        "revocations_unconfirmed",
        "revocations",
        ["user_id"],
        sqlite_where=_UNCONFIRMED,
        postgresql_where=_UNCONFIRMED,
    )
