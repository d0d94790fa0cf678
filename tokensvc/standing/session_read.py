"""The one read of a session: its row and the standings that its user has at that moment."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing, sessions, user_standings
from tokensvc.standing.ring_versions import RING_VERSIONS, incomplete_database
from tokensvc.standing.rules import Epochs, Ring, RingVersion, Standing
from tokensvc.standing.store import STANDING_COLUMNS, standing_of

_app = app_standing.c
_users = user_standings.c


class SessionRow(NamedTuple):
    """A row of `sessions`, in the driver's own types. `sessions/` gives it a meaning."""

    id: str
    user_id: str
    client_id: str
    counter: int
    rotated_at: float | None
    created_at: float
    last_used_at: float
    user_epoch: int
    app_epoch: int
    ended_at: float | None
    family_key_ciphertext: str
    wrapped_by: str


@dataclass(frozen=True, slots=True)
class SessionStanding:
    """
    One read of a session and the standings that apply to it.

    Attributes:
        session: The row.
        standing: Combined standing of the session's user and the app.
        epochs: Epochs in effect.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
        now: Epoch seconds of the database's clock with fractions, read as `Standing.now`.
    """

    session: SessionRow
    standing: Standing
    epochs: Epochs
    signing_ring_version: RingVersion
    now: float


class SessionReads:
    """
    Reads sessions for requests, in one statement.

    Nothing is cached: each read that begins after an action sees it.

    Args:
        clock: Clock of this host, used on SQLite. PostgreSQL's statement reads its own clock.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._has_clock = database.dialect == "postgresql"
        self._read = database.prepare(_statement(with_clock=self._has_clock))

    def read(self, session_id: str) -> SessionStanding | None:
        """
        Return a session, live or not, and the standings; `None` if it does not exist.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        # Read the clock before the statement: see `Standing.now`.
        now = self._clock()
        row = self._read.fetch({"session_id": session_id})
        if row is None:
            raise incomplete_database()
        columns, rest = row[: len(STANDING_COLUMNS)], row[len(STANDING_COLUMNS) :]
        user_epoch, app_epoch, counter, ring_id, *session = rest
        if self._has_clock:
            now = session.pop()
        if session[0] is None:
            return None
        return SessionStanding(
            session=SessionRow(*session),
            standing=standing_of(columns, int(now)),
            epochs=Epochs(user=user_epoch or 0, app=app_epoch),
            signing_ring_version=RingVersion(counter, ring_id),
            now=now,
        )


def _statement(*, with_clock: bool) -> sa.Select[Any]:
    columns = [
        *STANDING_COLUMNS,
        _users.epoch,
        _app.epoch,
        *RING_VERSIONS[Ring.SIGNING],
        *(sessions.c[name] for name in SessionRow._fields),
    ]
    if with_clock:
        columns.append(sa.cast(sa.extract("epoch", sa.func.now()), sa.Double))
    is_session = sessions.c.id == sa.bindparam("session_id")
    is_user = _users.user_id == sessions.c.user_id
    return (
        sa.select(*columns)
        .select_from(
            app_standing.outerjoin(sessions, is_session).outerjoin(user_standings, is_user)
        )
        .where(_app.id == sa.literal_column("1"))
    )
