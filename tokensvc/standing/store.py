"""The one read of the standing: user, app and ring version in a single statement."""

from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing, user_standings
from tokensvc.standing.rules import Standing


class StandingStore:
    """
    Reads standings. Nothing is cached: a revocation holds for every read that begins after it.

    Args:
        clock: Used on SQLite; PostgreSQL's own is read in the statement.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._has_clock = database.dialect == "postgresql"
        self._read = database.prepare(_statement(with_clock=self._has_clock))

    def read(self, user_id: str) -> Standing:
        """
        Give a user's standing. A user without a row has a clean one.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        # Before the statement: a later reading would outrun a cut-off set in between.
        now = int(self._clock())
        row = self._read.fetch({"user_id": user_id})
        if row is None:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "The service's database is not complete: an operator must look.",
                reason="app_standing has no row",
                retry_after=30,
            )
        app_cut_off, app_floor, ring_version, cut_off, floor, suspended_at = row[:6]
        return Standing(
            now=row[6] if self._has_clock else now,
            suspended=suspended_at is not None,
            tokens_valid_after=_latest(app_cut_off, cut_off),
            floor=max(app_floor, floor or 0),
            ring_version=ring_version,
        )


def _statement(*, with_clock: bool) -> sa.Select[Any]:
    app, user = app_standing.c, user_standings.c
    columns: list[sa.ColumnElement[Any]] = [
        app.tokens_valid_after,
        app.floor,
        app.stream_ring_version,
        user.tokens_valid_after,
        user.floor,
        user.suspended_at,
    ]
    if with_clock:
        epoch = sa.func.floor(sa.extract("epoch", sa.func.now()))
        columns.append(sa.cast(epoch, sa.BigInteger))
    of_user = user.user_id == sa.bindparam("user_id")
    return (
        sa.select(*columns)
        .select_from(app_standing.outerjoin(user_standings, of_user))
        .where(app.id == sa.literal_column("1"))
    )


def _latest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
