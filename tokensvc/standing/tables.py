"""The tables of the standings."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

user_standings = sa.Table(
    "user_standings",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("suspended_at", sa.BigInteger),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="user_floor"),
    sa.Index("user_standings_by_floor", "floor"),
)
"""
Users who were ever revoked or suspended. A user without a row has a clean standing.

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
