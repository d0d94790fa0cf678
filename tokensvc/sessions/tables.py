"""The table of sessions."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

_is_ended = sa.text("ended_at IS NOT NULL")

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rotated_at", sa.Double),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("last_used_at", sa.Double, nullable=False),
    sa.Column("user_epoch", sa.Integer, nullable=False),
    sa.Column("app_epoch", sa.Integer, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("family_key_ciphertext", sa.Text, nullable=False),
    sa.Column("wrapped_by", sa.Text, key="encrypted_with", nullable=False),
    sa.Column("address_hash", sa.Text),
    sa.Column("network_hash", sa.Text),
    sa.Column("confirmed_counter", sa.BigInteger),
    sa.Column("used_on", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("counter >= 0", name="session_counter"),
    sa.Index("sessions_by_user", "user_id"),
    sa.Index("sessions_by_wrapped_by", "encrypted_with"),
    sa.Index("sessions_by_day_of_use", "used_on"),
    sa.Index("sessions_ended", "ended_at", sqlite_where=_is_ended, postgresql_where=_is_ended),
    postgresql_with={"fillfactor": 80},
)
"""
Refresh families. Their tokens are not stored: the encrypted family key proves them.

A session lives only while both epochs are those of the standings; no action rewrites rows.

`address_hash` and `network_hash` are keyed hashes of where the last rotation came from.
`confirmed_counter`: the last counter whose token was presented in its own window. `used_on`: the
beginning of the UTC day of the last use.

No index has a column that each refresh changes, and pages have space for the next state of a row:
so PostgreSQL writes the row alone (a HOT update).
"""
