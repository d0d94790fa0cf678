"""The tables of the standings."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

IS_RENEWAL_UNCONFIRMED = sa.text("NOT renewal_confirmed")
"""A statement repeats this text of the index, because SQLite compares texts."""

user_standings = sa.Table(
    "user_standings",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("suspended_at", sa.BigInteger),
    sa.Column("erased_at", sa.BigInteger),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("latest_renewal", sa.BigInteger),
    sa.Column("renewal_confirmed", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="user_floor"),
    sa.Index("user_standings_by_floor", "floor"),
    sa.Index(
        "user_standings_unconfirmed",
        "user_id",
        sqlite_where=IS_RENEWAL_UNCONFIRMED,
        postgresql_where=IS_RENEWAL_UNCONFIRMED,
    ),
)
"""
Users who were ever revoked, suspended, renewed or erased. A user without a row has a clean
standing. The row of an erased user stays permanently, because it refuses the ID.

`epoch` is the number of actions that ended all sessions.
"""

app_standing = sa.Table(
    "app_standing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("stream_ring_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("signing_ring_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("signing_ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.CheckConstraint("id = 1", name="app_single_row"),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="app_floor"),
)
"""
One row, for all users. Its lock orders changes of both key rings. The version of a ring has two
columns: a counter, and an ID that is random after each change.
"""
