"""The table of revocations."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

IS_UNCONFIRMED = sa.text("NOT confirmed AND undone_at IS NULL")
"""A statement repeats this text of the index, because SQLite compares texts."""
_is_undone = sa.text("undone_at IS NOT NULL")

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tokens_valid_after", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("undone_at", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint(
        "kind IN ('revocation', 'suspension', 'password', 'deletion')", name="revocation_kind"
    ),
    sa.Index("revocations_by_user", "user_id", "id"),
    sa.Index(
        "revocations_unconfirmed",
        "user_id",
        sqlite_where=IS_UNCONFIRMED,
        postgresql_where=IS_UNCONFIRMED,
    ),
    sa.Index(
        "revocations_undone", "undone_at", sqlite_where=_is_undone, postgresql_where=_is_undone
    ),
)
"""
Revocations and suspensions, in the order of their IDs; those of the app have no `user_id`.

`confirmed` says that the cut-off was compared with the clock after the commit.
"""
