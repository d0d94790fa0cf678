"""Built-in accounts, their codes, sign-ins and sessions."""

import sqlalchemy as sa

from tokensvc.database.tables.database import metadata

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

_without_account = sa.text("NOT of_account")

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("axis", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_failed_at", sa.BigInteger, nullable=False),
    sa.Column("of_account", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("axis IN ('known', 'unknown')", name="sign_in_failure_axis"),
    sa.Index(
        "sign_in_failures_without_account",
        "last_failed_at",
        sqlite_where=_without_account,
        postgresql_where=_without_account,
    ),
)
"""
Consecutive failures of a user ID (axis `unknown`), and those at one address while the first delay
or stop the user ID (axis `known`).

`subject` is the keyed hash of the user ID, for axis `known` together with that of the address.
`of_account`: whether the user ID had an account at the last failure, for axis `known` one that
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
    sa.Column("wrapped_by", sa.Text, nullable=False),
    sa.Column("address_hash", sa.Text),
    sa.Column("network_hash", sa.Text),
    sa.Column("confirmed_counter", sa.BigInteger),
    sa.Column("used_on", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("counter >= 0", name="session_counter"),
    sa.Index("sessions_by_user", "user_id"),
    sa.Index("sessions_by_wrapped_by", "wrapped_by"),
    sa.Index("sessions_by_day_of_use", "used_on"),
    sa.Index("sessions_ended", "ended_at", sqlite_where=_is_ended, postgresql_where=_is_ended),
    postgresql_with={"fillfactor": 80},
)
"""
Refresh families. Their tokens are not stored: the wrapped family key proves them.

A session lives only while both epochs are those of the standings; no action rewrites rows.

`address_hash` and `network_hash` are keyed hashes of where the last rotation came from.
`confirmed_counter`: the last counter whose token was presented in its own window. `used_on`: the
beginning of the UTC day of the last use.

No index has a column that each refresh changes, and pages have space for the next state of a row:
so PostgreSQL writes the row alone (a HOT update).
"""
