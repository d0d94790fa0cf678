"""The tables of service clients and their secrets."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

service_clients = sa.Table(
    "service_clients",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("vouches", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id LIKE 'svc.%'", name="service_client_id"),
    sa.UniqueConstraint("name", name="service_client_name"),
)
"""`scopes` is a JSON array of strings."""

client_ids = sa.Table("client_ids", metadata, sa.Column("id", sa.Text, primary_key=True))
"""
The ID of every client that ever existed, written by a trigger of `service_clients`.

An ID that was used refuses the insertion, so that none passes to another client. The audit trail
cannot tell: its events are purged.
"""

client_secrets = sa.Table(
    "client_secrets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "client_id",
        sa.Text,
        sa.ForeignKey("service_clients.id", name="client_secret_client", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("secret_hash", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("last_used_at", sa.BigInteger),
    sa.Index("client_secrets_by_client", "client_id"),
)
