"""Create the tables of built-in accounts, of their sessions and of the keys of access tokens."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create tables and add columns. The previous release neither reads nor writes them."""
    _epochs()
    _accounts()
    _attempts()
    _sessions()
    _signing_keys()
    # In a column of its own: the previous release reads only the kinds that it knows.
    op.execute(
        "ALTER TABLE revocations ADD COLUMN cause TEXT"
        " CONSTRAINT revocation_cause CHECK (cause IN ('password', 'deletion'))"
    )


def _epochs() -> None:
    for table in ("user_standings", "app_standing"):
        op.add_column(table, _number("epoch"))
    op.add_column("app_standing", _number("signing_ring_version"))
    op.add_column(
        "app_standing",
        sa.Column("signing_ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    )
    # Each database begins with an ID of its own, so that one never passes for another.
    app_standing = sa.table("app_standing", sa.column("signing_ring_id", sa.Text))
    op.execute(app_standing.update().values(signing_ring_id=secrets.token_hex(16)))


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.CheckConstraint(
            "deleted_at IS NULL OR password_hash IS NULL", name="account_erased_when_deleted"
        ),
    )
    op.create_table(
        "account_codes",
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
    )
    op.create_index("account_codes_by_user", "account_codes", ["user_id"])
    op.create_index("account_codes_by_expiry", "account_codes", ["expires_at"])


def _attempts() -> None:
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("axis", sa.Text, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_failed_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("axis IN ('known', 'unknown')", name="sign_in_failure_axis"),
    )
    op.create_index("sign_in_failures_by_time", "sign_in_failures", ["last_failed_at"])
    op.create_table(
        "known_addresses",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("address_hash", sa.Text, primary_key=True),
        sa.Column("last_signed_in_at", sa.BigInteger, nullable=False),
    )
    op.create_index("known_addresses_by_time", "known_addresses", ["last_signed_in_at"])


def _sessions() -> None:
    op.create_table(
        "sessions",
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
        sa.CheckConstraint("counter >= 0", name="session_counter"),
    )
    op.create_index("sessions_by_user", "sessions", ["user_id"])
    op.create_index("sessions_by_wrapped_by", "sessions", ["wrapped_by"])
    op.create_index("sessions_by_last_use", "sessions", ["last_used_at"])
    is_ended = sa.text("ended_at IS NOT NULL")
    op.create_index(
        "sessions_ended",
        "sessions",
        ["ended_at"],
        sqlite_where=is_ended,
        postgresql_where=is_ended,
    )


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("secret_ciphertext", sa.Text),
        sa.Column("wrapped_by", sa.Text),
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
    )
    is_next_or_active = sa.text("state IN ('standby', 'active')")
    op.create_index(
        "signing_keys_one_standby_one_active",
        "signing_keys",
        ["state"],
        unique=True,
        sqlite_where=is_next_or_active,
        postgresql_where=is_next_or_active,
    )
