"""
Cut-offs in the future, set by a clock that was ahead, and the action that lowers them.

Until the clock reaches the floor of the app or a user, no token is minted: a year for a clock that
was a year ahead.
"""

from collections.abc import Sequence
from dataclasses import replace

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.findings import Finding, State
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations import store
from tokensvc.revocations.state_reads import delivery_of
from tokensvc.standing import store as standings
from tokensvc.standing.rules import next_bound
from tokensvc.stream.delivery import store as deliveries

TOLERANCE = 60
"""Seconds that a floor may be in the future. An action sets it at most one second ahead."""

_MAX_COUNT = 1000


class ClockFaults:
    """Finds and lowers floors in the future."""

    def __init__(self, database: Database, database_clock: DatabaseClock) -> None:
        self.database_clock = database_clock
        self._database = database

    def find(self, limit: int | None = None) -> Sequence[Target]:
        """
        Return the app and the users whose floor is too far in the future.

        Args:
            limit: Maximum number of users.
        """
        with self._database.read() as connection:
            latest = int(self.database_clock.read(connection)) + TOLERANCE
            return standings.targets_with_floor_after(connection, latest, limit)

    def warning(self) -> Finding | None:
        """Return what an operator must do, if there is a fault."""
        if standings.floor_seconds_ahead(self._database, self.database_clock) <= TOLERANCE:
            return None
        targets = self.find(_MAX_COUNT)
        if not targets:
            return None
        if APP in targets:
            who = "any user"
        elif len(targets) == 1:
            who = f"the user {targets[0].user_id}"
        else:
            who = (
                f"{_MAX_COUNT} or more users"
                if len(targets) == _MAX_COUNT
                else f"{len(targets)} users"
            )
        return Finding(
            State.DEGRADED,
            f"no token is minted for {who}: a clock set their cut-off more than {TOLERANCE} s in "
            "the future. Correct the clock, then run `tokensvc app lower-floor`",
        )

    def lower(self, target: Target, context: ActionContext) -> None:
        """
        Lower the floor and the cut-offs of a target to now, if the floor is too far in the future.

        Every sign-in until now stays refused, and Stream gets the new cut-off. No confirmation is
        needed: until the commit, no request can mint for the target.
        """
        action = Action.APP_FLOOR_LOWERED if target == APP else Action.USER_FLOOR_LOWERED
        with self._database.write(dry_run=context.dry_run) as tx:
            standing = standings.lock(tx, target, create=False)
            now = self.database_clock.read(tx)
            if standing.floor <= now + TOLERANCE:
                return
            floor = next_bound(None, now)
            cut_off, since = standing.tokens_valid_after, standing.suspended_at
            renewal = standing.latest_renewal
            lowered = replace(
                standing,
                floor=floor,
                tokens_valid_after=None if cut_off is None else min(cut_off, floor),
                latest_renewal=None if renewal is None else min(renewal, floor),
                suspended_at=None if since is None else min(since, int(now)),
            )
            standings.write(tx, target, lowered)
            store.lower_cut_offs(tx, target, floor)
            deliveries.mark_pending(tx, *delivery_of(target), now)
            record(tx, context, action, target.subject, now=now, details={"floor": floor})

    def restart_deliveries(self) -> None:
        """Make deliveries due that the same clock has postponed or leased into the future."""
        with self._database.write() as tx:
            deliveries.restart_from_future(tx, self.database_clock.read(tx))
