"""The tables of the environment that made the database, and of the marker of the live one."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

database_environment = sa.Table(
    "database_environment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="environment_single_row"),
    sa.CheckConstraint("environment IN ('production', 'development')", name="environment_value"),
)
"""At most one row: the environment that made the database."""

live_database = sa.Table(
    "live_database",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sign_up_closed", sa.Boolean, nullable=False),
    sa.CheckConstraint("id = 1", name="live_database_single_row"),
)
"""
The marker of the live database: one row.

`sign_up_closed` says that users cannot sign up although the settings allow it: a restored database
does not know the accounts that were created after the backup.
"""
