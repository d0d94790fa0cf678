"""The tables of Stream keys, and of mints that named none."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

stream_keys = sa.Table(
    "stream_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("api_key", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("secret_ciphertext", sa.Text),
    sa.Column("wrapped_by", sa.Text, key="encrypted_with"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("activated_at", sa.BigInteger),
    sa.Column("retired_at", sa.BigInteger),
    sa.CheckConstraint(
        "state IN ('standby', 'active', 'retiring', 'retired')", name="stream_key_state"
    ),
    sa.CheckConstraint(
        "(state = 'retired') = (secret_ciphertext IS NULL)"
        " AND (secret_ciphertext IS NULL) = (wrapped_by IS NULL)",
        name="stream_key_erased_when_retired",
    ),
)
sa.Index(
    "stream_keys_one_active",
    stream_keys.c.state,
    unique=True,
    sqlite_where=stream_keys.c.state == "active",
    postgresql_where=stream_keys.c.state == "active",
)
sa.Index(
    "stream_keys_one_live_pair",
    stream_keys.c.api_key,
    stream_keys.c.fingerprint,
    unique=True,
    sqlite_where=stream_keys.c.state != "retired",
    postgresql_where=stream_keys.c.state != "retired",
)

unnamed_mints = sa.Table(
    "unnamed_mints",
    metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
)
"""Mints that named no Stream key, counted by hour (epoch seconds of its start)."""
