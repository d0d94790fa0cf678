"""The one read of a session: its row and the standings that its user has at that moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing, sessions, user_standings
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.ring_versions import RING_VERSIONS
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
    address_hash: str | None
    network_hash: str | None
    confirmed_counter: int | None


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


SessionRead: TypeAlias = Callable[[str], SessionStanding | None]
"""`read_session` in the database of this process."""

_STATEMENT = (
    sa.select(
        *STANDING_COLUMNS,
        _users.epoch,
        _app.epoch,
        *RING_VERSIONS[Ring.SIGNING],
        *(sessions.c[name] for name in SessionRow._fields),
    )
    .select_from(
        app_standing.outerjoin(sessions, sessions.c.id == sa.bindparam("session_id")).outerjoin(
            user_standings, _users.user_id == sessions.c.user_id
        )
    )
    .where(_app.id == sa.literal_column("1"))
)


def read_session(database: Database, clock: Clock, session_id: str) -> SessionStanding | None:
    """
    Return a session, live or not, and the standings, in one statement; `None` without a session.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    (row, *_), now = fetch_clocked(database, clock, _STATEMENT, {"session_id": session_id})
    columns, rest = row[: len(STANDING_COLUMNS)], row[len(STANDING_COLUMNS) :]
    user_epoch, app_epoch, counter, ring_id, *session = rest
    if session[0] is None:
        return None
    return SessionStanding(
        session=SessionRow(*session),
        standing=standing_of(columns, int(now)),
        epochs=Epochs(user=user_epoch or 0, app=app_epoch),
        signing_ring_version=RingVersion(counter, ring_id),
        now=now,
    )
