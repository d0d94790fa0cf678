"""The table of the keys that sign access tokens."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

_is_next_or_active = sa.text("state IN ('standby', 'active')")

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("secret_ciphertext", sa.Text),
    sa.Column("wrapped_by", sa.Text, key="encrypted_with"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("activated_at", sa.BigInteger),
    sa.Column("retiring_at", sa.BigInteger),
    sa.Column("retired_at", sa.BigInteger),
    sa.CheckConstraint(
        "state IN ('standby', 'active', 'retiring', 'retired')", name="signing_key_state"
    ),
    sa.CheckConstraint(
        "(state = 'retired') = (secret_ciphertext IS NULL)"
        " AND (secret_ciphertext IS NULL) = (wrapped_by IS NULL)",
        name="signing_key_erased_when_retired",
    ),
    sa.Index(
        "signing_keys_one_standby_one_active",
        "state",
        unique=True,
        sqlite_where=_is_next_or_active,
        postgresql_where=_is_next_or_active,
    ),
)
"""Keys of access tokens. A key's ID is its `kid`."""
