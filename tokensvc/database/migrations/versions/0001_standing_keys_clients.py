"""Lay the standing, the ring of Stream keys, the service clients and the issuers' keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of the first release, and the app's one row."""
    _standings()
    _stream_keys()
    _service_clients()
    op.create_table(
        "issuer_keys",
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("jwks", sa.Text, nullable=False),
        sa.Column("fetched_at", sa.BigInteger, nullable=False),
    )


def _standings() -> None:
    op.create_table(
        "user_standings",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("tokens_valid_after", sa.BigInteger),
        sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("suspended_at", sa.BigInteger),
        sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="user_floor"),
    )
    app_standing = op.create_table(
        "app_standing",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tokens_valid_after", sa.BigInteger),
        sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("stream_ring_version", sa.Integer, nullable=False, server_default="0"),
        sa.CheckConstraint("id = 1", name="app_single_row"),
        sa.CheckConstraint("floor >= 0 AND floor >= tokens_valid_after", name="app_floor"),
    )
    op.bulk_insert(app_standing, [{"id": 1}])


def _stream_keys() -> None:
    stream_keys = op.create_table(
        "stream_keys",
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
    active = stream_keys.c.state == "active"
    op.create_index(
        "stream_keys_one_active",
        "stream_keys",
        ["state"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    live = stream_keys.c.state != "retired"
    op.create_index(
        "stream_keys_one_live_pair",
        "stream_keys",
        ["api_key", "fingerprint"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )


def _service_clients() -> None:
    op.create_table(
        "service_clients",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("vouches", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id LIKE 'svc.%'", name="service_client_id"),
        sa.UniqueConstraint("name", name="service_client_name"),
    )
    op.create_table(
        "client_secrets",
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
    )
    op.create_index("client_secrets_by_client", "client_secrets", ["client_id"])
