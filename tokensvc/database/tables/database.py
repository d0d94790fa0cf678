"""What contains all tables, and the environment that made the database."""

import sqlalchemy as sa

metadata = sa.MetaData()

database_environment = sa.Table(
    "database_environment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="environment_single_row"),
    sa.CheckConstraint("environment IN ('production', 'development')", name="environment_value"),
)
"""At most one row: the environment that made the database. A database of an earlier release has
none until its next start."""
