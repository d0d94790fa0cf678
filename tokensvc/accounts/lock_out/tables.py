"""The tables of failed sign-ins, and of the addresses that signed an account in."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

IS_WITHOUT_ACCOUNT = sa.text("NOT of_account")
"""A statement repeats this text of the index, because SQLite compares texts."""

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("axis", sa.Text, key="kind", primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_failed_at", sa.BigInteger, nullable=False),
    sa.Column("of_account", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("axis IN ('known', 'unknown')", name="sign_in_failure_axis"),
    sa.Index(
        "sign_in_failures_without_account",
        "last_failed_at",
        sqlite_where=IS_WITHOUT_ACCOUNT,
        postgresql_where=IS_WITHOUT_ACCOUNT,
    ),
)
"""
Consecutive failures of a user ID (kind `unknown`), and those at one address while the first delay
or lock the user ID (kind `known`).

`subject` is the keyed hash of the user ID, for kind `known` together with that of the address.
`of_account`: whether the user ID had an account at the last failure, for kind `known` one that
knows the address.
"""

known_addresses = sa.Table(
    "known_addresses",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("address_hash", sa.Text, primary_key=True),
    sa.Column("last_signed_in_at", sa.BigInteger, nullable=False),
    sa.Index("known_addresses_by_time", "last_signed_in_at"),
)
"""
Addresses that signed an account in or refreshed a session of it, as keyed hashes.

`last_signed_in_at` is the time of the last sign-in, or of the first refresh of a later day.
"""
