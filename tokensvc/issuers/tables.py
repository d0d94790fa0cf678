"""The table of identity providers' keys."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

issuer_keys = sa.Table(
    "issuer_keys",
    metadata,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("jwks", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.BigInteger, nullable=False),
)
"""The last good key set of each identity provider, by its `iss`."""
