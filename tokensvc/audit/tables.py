"""The tables of the audit trail."""

import sqlalchemy as sa

from tokensvc.database.metadata import metadata

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
"""
Append-only by triggers: no update, and only rows that `audit_purge` covers can be deleted.

`details` is a JSON object.
"""

audit_purge = sa.Table(
    "audit_purge",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("purged_before", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="audit_purge_single_row"),
)
