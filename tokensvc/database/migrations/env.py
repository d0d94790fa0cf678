"""Alembic's environment: the connection, and its open transaction, come from `schema.migrate`."""

from alembic import context

from tokensvc.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
)
with context.begin_transaction():
    context.run_migrations()
