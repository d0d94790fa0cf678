"""The standings, the revocations that move them, and the states that Stream must have."""

import sqlalchemy as sa

from tokensvc.database.tables.database import metadata

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
"""
Users who were ever revoked or suspended. A user without a row has a clean standing.

`epoch` is the number of actions that ended all sessions.
"""

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
"""
One row, for all users. Its lock orders changes of both key rings. The version of a ring has two
columns: a counter, and an ID that is random after each change.
"""

_unconfirmed = sa.text("NOT confirmed AND undone_at IS NULL")
_is_undone = sa.text("undone_at IS NOT NULL")

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tokens_valid_after", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("undone_at", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint(
        "kind IN ('revocation', 'suspension', 'password', 'deletion')", name="revocation_kind"
    ),
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
"""
Revocations and suspensions, in the order of their IDs; those of the app have no `user_id`.

`confirmed` says that the cut-off was compared with the clock after the commit.
"""

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
"""The version of each cut-off or profile that Stream must have, and the one it is known to have."""

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
"""The user objects that Stream must have, as JSON."""
