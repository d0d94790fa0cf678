"""The tables of identity providers' events."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

applied_events = sa.Table(
    "applied_events",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Index("applied_events_by_expiry", "expires_at"),
)
"""Events of identity providers that were applied, until they expire: none is applied twice."""

ended_provider_sessions = sa.Table(
    "ended_provider_sessions",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Index("ended_provider_sessions_by_expiry", "expires_at"),
)
"""Sessions that a provider ended, until their last token has expired. It is refused until then."""
