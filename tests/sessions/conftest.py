"""Sessions on either database, whose time a test moves."""

import json
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from testing.sessions import make_older, open_session, sessions_on
from testing.standings import raise_epoch
from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import Target
from tokensvc.core.errors import OAuthError, Refusal
from tokensvc.sessions.tables import sessions as sessions_table


@dataclass
class World:
    """
    A database with sessions.

    Attributes:
        sessions: Sessions with the default settings.
        clock: Clock that SQLite uses.
    """

    database: object
    clock: object

    def __post_init__(self):
        self.sessions = sessions_on(self.database, self.clock)

    def sign_in(self, user_id="ada", client_id="app", epochs=None):
        """Open a session as a sign-in does that has just checked a password."""
        with self.database.write() as tx:
            return open_session(tx, self.sessions, user_id, client_id, epochs=epochs)

    def raise_epoch(self, user_id="ada"):
        """End all sessions of a user as an action does."""
        raise_epoch(self.database, Target(user_id))

    def pass_time(self, seconds):
        """Advance the clock. PostgreSQL has its own: with it, all sessions become older instead."""
        self.clock.now += seconds
        if self.database.dialect == "postgresql":
            make_older(self.database, seconds)

    def rows(self):
        """Return all rows by session ID."""
        with self.database.read() as connection:
            return {row.id: row for row in connection.execute(sa.select(sessions_table))}

    def row(self, grant):
        return self.rows()[grant.family.id]

    def events(self):
        """Return (actor, action, subject, outcome, details) of all events, oldest first."""
        columns = audit_events.c
        query = sa.select(
            columns.actor, columns.action, columns.subject, columns.outcome, columns.details
        )
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(columns.id)).all()
        return [(*row[:-1], json.loads(row.details)) for row in rows]

    def actions(self):
        """Return the actions of all events, oldest first."""
        return [event[1] for event in self.events()]

    def refusal(self, token, client_id="app"):
        """Return the internal reason for which a token is refused with `invalid_grant`."""
        with pytest.raises(Refusal) as refused:
            self.sessions.refresh(token, client_id)
        assert refused.value.oauth_error is OAuthError.INVALID_GRANT
        assert refused.value.detail == (
            "The refresh token is invalid, expired or revoked. Sign the user in again."
        )
        return refused.value.reason


@pytest.fixture
def world(database, clock):
    return World(database, clock)
