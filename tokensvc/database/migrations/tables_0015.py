"""The tables of revision 0015. A later migration changes them in the database, not here."""

import sqlalchemy as sa

metadata = sa.MetaData()

user_standings = sa.Table(
    "user_standings",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("suspended_at", sa.BigInteger),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="user_floor"),
    sa.Index("user_standings_by_floor", "floor"),
)

app_standing = sa.Table(
    "app_standing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("stream_ring_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("signing_ring_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("signing_ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.CheckConstraint("id = 1", name="app_single_row"),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="app_floor"),
)

_unconfirmed = sa.text("NOT settled AND undone_at IS NULL")
_is_undone = sa.text("undone_at IS NOT NULL")

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tokens_valid_after", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("undone_at", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("cause", sa.Text),
    sa.CheckConstraint("kind IN ('revocation', 'suspension')", name="revocation_kind"),
    sa.CheckConstraint("cause IN ('password', 'deletion')", name="revocation_cause"),
    sa.Index("revocations_by_user", "user_id", "id"),
    sa.Index(
        "revocations_unconfirmed",
        "user_id",
        sqlite_where=_unconfirmed,
        postgresql_where=_unconfirmed,
    ),
    sa.Index(
        "revocations_undone", "undone_at", sqlite_where=_is_undone, postgresql_where=_is_undone
    ),
)

_open_deliveries = sa.text("state NOT IN ('applied', 'obsolete')")
_late_deliveries = sa.text("late_since IS NOT NULL")
_finished_deliveries = sa.text("state IN ('applied', 'obsolete')")

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("applied_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("lease_until", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("resend_at", sa.BigInteger),
    sa.Column("absent_since", sa.BigInteger),
    sa.Column("last_error", sa.Text),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("late_since", sa.BigInteger),
    sa.CheckConstraint("kind IN ('app', 'user', 'profile')", name="delivery_kind"),
    sa.CheckConstraint(
        "state IN ('pending', 'applied', 'absent', 'failed', 'obsolete')", name="delivery_state"
    ),
    sa.Index(
        "deliveries_open",
        "kind",
        "state",
        "due_at",
        sqlite_where=_open_deliveries,
        postgresql_where=_open_deliveries,
    ),
    sa.Index(
        "deliveries_finished",
        "updated_at",
        sqlite_where=_finished_deliveries,
        postgresql_where=_finished_deliveries,
    ),
    sa.Index(
        "deliveries_late",
        "kind",
        "state",
        "late_since",
        sqlite_where=_late_deliveries,
        postgresql_where=_late_deliveries,
    ),
)

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
stream_keys = sa.Table(
    "stream_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("api_key", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("secret_ciphertext", sa.Text),
    sa.Column("wrapped_by", sa.Text),
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

_is_next_or_active = sa.text("state IN ('standby', 'active')")

signing_keys = sa.Table(
    "signing_keys",
    metadata,
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
    sa.Index(
        "signing_keys_one_standby_one_active",
        "state",
        unique=True,
        sqlite_where=_is_next_or_active,
        postgresql_where=_is_next_or_active,
    ),
)

issuer_keys = sa.Table(
    "issuer_keys",
    metadata,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("jwks", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.BigInteger, nullable=False),
)

unnamed_mints = sa.Table(
    "unnamed_mints",
    metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
)
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

client_ids = sa.Table("client_ids", metadata, sa.Column("id", sa.Text, primary_key=True))

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
audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("details", sa.Text),
    sa.Index("audit_events_by_time", "time"),
    sa.Index("audit_events_by_subject", "subject", "id"),
    sa.Index("audit_events_by_actor", "actor", "id"),
    sqlite_with_rowid=False,
)

audit_purge = sa.Table(
    "audit_purge",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("purged_before", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="audit_purge_single_row"),
)
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

known_addresses = sa.Table(
    "known_addresses",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("address_hash", sa.Text, primary_key=True),
    sa.Column("last_signed_in_at", sa.BigInteger, nullable=False),
    sa.Index("known_addresses_by_time", "last_signed_in_at"),
)

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
database_environment = sa.Table(
    "database_environment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="environment_single_row"),
    sa.CheckConstraint("environment IN ('production', 'development')", name="environment_value"),
)

live_database = sa.Table(
    "live_database",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sign_up_closed", sa.Boolean, nullable=False),
    sa.CheckConstraint("id = 1", name="live_database_single_row"),
)
