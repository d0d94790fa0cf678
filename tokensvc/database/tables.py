"""
The tables of this release; `migrations/` creates and changes them in a database.

Times are integer epoch seconds. Constraints protect what a bug would otherwise break silently.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

database_environment = sa.Table(
    "database_environment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="environment_single_row"),
    sa.CheckConstraint("environment IN ('production', 'development')", name="environment_value"),
)
"""At most one row: the environment that made the database. A database of an earlier release has
none until its next start."""

user_standings = sa.Table(
    "user_standings",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("suspended_at", sa.BigInteger),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="user_floor"),
    sa.Index("user_standings_by_floor", "floor"),
)
"""Users who were ever revoked or suspended. A user without a row has a clean standing."""

app_standing = sa.Table(
    "app_standing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tokens_valid_after", sa.BigInteger),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("stream_ring_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ring_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.CheckConstraint("id = 1", name="app_single_row"),
    sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="app_floor"),
)
"""
One row, for all users. Its lock orders changes of the key ring, whose version has two columns: a
counter, and an ID that is random after each change.
"""

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
"""`scopes` is a JSON array of strings."""

client_ids = sa.Table("client_ids", metadata, sa.Column("id", sa.Text, primary_key=True))
"""
The ID of every client that ever existed, written by a trigger of `service_clients`.

An ID that was used refuses the insertion, so that none passes to another client. The audit trail
cannot tell: its events are purged.
"""

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

issuer_keys = sa.Table(
    "issuer_keys",
    metadata,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("jwks", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.BigInteger, nullable=False),
)
"""The last good key set of each identity provider, by its `iss`."""

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
    sa.Index("audit_events_by_time", "time"),
    sa.Index("audit_events_by_subject", "subject", "id"),
    sa.Index("audit_events_by_actor", "actor", "id"),
    sqlite_with_rowid=False,
)
"""Append-only by triggers: no update, and only rows that `audit_purge` covers can be deleted."""

audit_purge = sa.Table(
    "audit_purge",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("purged_before", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="audit_purge_single_row"),
)

_unconfirmed = sa.text("NOT settled AND undone_at IS NULL")

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tokens_valid_after", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.Boolean, key="confirmed", nullable=False, server_default=sa.false()),
    sa.Column("undone_at", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint("kind IN ('revocation', 'suspension')", name="revocation_kind"),
    sa.Index("revocations_by_user", "user_id", "id"),
    sa.Index(
        "revocations_unconfirmed",
        "user_id",
        sqlite_where=_unconfirmed,
        postgresql_where=_unconfirmed,
    ),
)
"""
Revocations and suspensions, in the order of their IDs; those of the app have no `user_id`.

`confirmed` (column `settled`) says that the cut-off was compared with the clock after the commit.
"""

_open_deliveries = sa.text("state NOT IN ('applied', 'obsolete')")

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
)
"""The version of each cut-off or profile that Stream must have, and the one it is known to have."""

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
"""The user objects that Stream must have, as JSON."""

unnamed_mints = sa.Table(
    "unnamed_mints",
    metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
)
"""Mints that named no Stream key, counted by hour (epoch seconds of its start)."""
