"""The tables of accounts, and of the codes that invite users or reset passwords."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("password_hash", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.CheckConstraint(
        "deleted_at IS NULL OR password_hash IS NULL", name="account_erased_when_deleted"
    ),
)
"""
Built-in accounts. The row of a deleted one stays, so that its ID never passes to another person.

An account without a hash has no password until a reset.
"""

account_codes = sa.Table(
    "account_codes",
    metadata,
    sa.Column("code_hash", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger),
    sa.CheckConstraint("kind IN ('invitation', 'reset')", name="account_code_kind"),
    sa.CheckConstraint(
        "kind = 'invitation' OR user_id IS NOT NULL", name="account_code_of_reset_has_user"
    ),
    sa.Index("account_codes_by_user", "user_id"),
    sa.Index("account_codes_by_expiry", "expires_at"),
)
"""Codes that can be used once. An invitation without `user_id` is for any ID."""
