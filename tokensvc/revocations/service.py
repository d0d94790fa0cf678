"""
Revoke, suspend, reinstate, undo and renew.

Each action is one transaction and is in effect for each request that arrives after its response.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from http import HTTPStatus

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.waiting import NoWaitSlotError, WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.revocations import rules, store
from tokensvc.revocations.rules import HoldsUntil, Source
from tokensvc.revocations.state import State, UserState
from tokensvc.revocations.state_reads import CountSessions, StateReads, delivery_of
from tokensvc.standing import store as standings
from tokensvc.standing.rules import (
    RevocationKind,
    StoredStanding,
    has_passed,
    next_bound,
    user_erased,
)
from tokensvc.stream import renewals
from tokensvc.stream.delivery import reach_store
from tokensvc.stream.delivery import store as deliveries
from tokensvc.stream.delivery.rules import DeliveryKind, DeliveryState

_POLL_SECONDS = 0.05
_BATCH = 100


class Revocations:
    """
    The actions on users and the app, and their states.

    Args:
        sources: Sources of user IDs.
        is_delivery_on: Whether states are delivered to Stream; if not, they say `not_sent`.
        wait_slots: Slots for requests that wait.
        count_sessions: Function that counts the open sessions of users.
        reach: Deliveries to Stream that follow the cut-off of a user, if any.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        sources: Sequence[Source],
        *,
        is_delivery_on: bool,
        wait_slots: WaitSlots,
        count_sessions: CountSessions,
        reach: Collection[DeliveryKind] = (),
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._sources = sources
        self._wait_slots = wait_slots
        self._reads = StateReads(count_sessions, is_delivery_on=is_delivery_on)
        self._reach = reach

    def revoke(self, target: Target, context: ActionContext) -> State:
        """Revoke all sign-ins. Only a new sign-in can mint tokens."""
        action = Action.APP_REVOKED if target == APP else Action.USER_REVOKED
        with self._database.write(dry_run=context.dry_run) as tx:
            standing = standings.lock(tx, target)
            now, details = self._add(tx, target, standing, RevocationKind.REVOCATION, context)
            record(tx, context, action, target.subject, now=now, details=details)
            if context.dry_run:
                return self.state_within(tx, target)
        return self.confirm(target)

    def renew(self, user_id: str, context: ActionContext) -> State:
        """Renew the Stream tokens of a user. Sign-ins and sessions still mint tokens."""
        target = Target(user_id)
        with self._database.write(dry_run=context.dry_run) as tx:
            renewals.renew_within(tx, self._clock, user_id, context)
            if context.dry_run:
                return self.state_within(tx, target)
        return self.confirm(target)

    def revoke_within(
        self, tx: Transaction, user_id: str, kind: RevocationKind, context: ActionContext
    ) -> Details:
        """
        Revoke all sign-ins of a user in a transaction, and return the details for an event.

        Call `confirm` after the commit and before the response.
        """
        target = Target(user_id)
        _, details = self._add(tx, target, standings.lock(tx, target), kind, context)
        return details

    def suspend(self, user_id: str, context: ActionContext) -> State:
        """Revoke all sign-ins of a user and refuse all tokens until the user is reinstated."""
        target = Target(user_id)
        with self._database.write(dry_run=context.dry_run) as tx:
            self.suspend_within(tx, target, context)
            if context.dry_run:
                return self.state_within(tx, target)
        # Also if nothing changed: the request that suspended the user may have stopped before this.
        return self.confirm(target)

    def suspend_within(self, tx: Transaction, target: Target, context: ActionContext) -> None:
        """
        Suspend a user in a transaction; call `confirm` after the commit.

        A suspended user stays as they are, unless the suspension is a provider's: see `takes_over`.
        """
        standing = standings.lock(tx, target)
        takes_over = rules.takes_over(store.suspended_by(tx, target), context.actor)
        if standing.suspended_at is None or (takes_over and standing.erased_at is None):
            now, details = self._add(tx, target, standing, RevocationKind.SUSPENSION, context)
            record(tx, context, Action.USER_SUSPENDED, target.subject, now=now, details=details)

    def reinstate(self, user_id: str, context: ActionContext) -> State:
        """
        End a suspension. The cut-off stays, so the user must sign in again.

        Raises:
            Refusal: `user_erased` with status 409.
        """
        target = Target(user_id)
        with self._database.write(dry_run=context.dry_run) as tx:
            self.reinstate_within(tx, target, context)
            return self.state_within(tx, target)

    def reinstate_within(self, tx: Transaction, target: Target, context: ActionContext) -> None:
        """
        End a suspension in a transaction.

        Raises:
            Refusal: `user_erased` with status 409.
        """
        standing = standings.lock(tx, target, create=False)
        if standing.erased_at is not None:
            raise user_erased(HTTPStatus.CONFLICT)
        if standing.suspended_at is not None:
            standings.write(tx, target, replace(standing, suspended_at=None))
            record(tx, context, Action.USER_REINSTATED, target.subject, now=self._clock.read(tx))

    def undo(self, target: Target, revocation_id: str, context: ActionContext) -> State:
        """
        Undo the latest revocation in effect. Earlier credentials work again, stolen ones too.

        Raises:
            Refusal: `not_found`, `superseded`; `user_erased` or `user_suspended` with status 409.
        """
        is_app = target == APP
        action = Action.APP_REVOCATION_UNDONE if is_app else Action.USER_REVOCATION_UNDONE
        with self._database.write(dry_run=context.dry_run) as tx:
            standing = standings.lock(tx, target)
            if standing.erased_at is not None:
                raise user_erased(HTTPStatus.CONFLICT)
            revocations = store.revocations_of(tx, target)
            undone = rules.revocation_to_undo(
                revocations, revocation_id, suspended=standing.suspended_at is not None
            )
            if undone is not None:
                now = self._clock.read(tx)
                store.mark_undone(tx, undone.id, now)
                cut_off = rules.cut_off_of(row for row in revocations if row is not undone)
                # The floor stays: Stream may still have the cut-off that is undone.
                _set_cut_off(tx, target, standing, cut_off, now)
                if not is_app:
                    last = rules.latest(row for row in revocations if row is not undone)
                    needed_since = last.created_at if last is not None else None
                    reach_store.cancel(tx, target.subject, now, needed_since=needed_since)
                details: Details = {"revocation": undone.id}
                record(tx, context, action, target.subject, now=now, details=details)
            return self.state_within(tx, target)

    def confirm(self, target: Target) -> State:
        """
        Confirm the actions on a target: if a bound passed before its commit, move it.

        A request that read the standing before the commit can mint a token whose `iat` is any time
        up to the commit. Stream refuses only an `iat` before the bound. So read the clock after the
        commit, and move a bound that is not in the future.
        """
        with self._database.write() as tx:
            standing = standings.lock(tx, target)
            now = self._clock.read(tx)
            standing = renewals.confirm_within(tx, target, standing, now)
            for revocation in store.revocations_of(tx, target):
                if revocation.confirmed or revocation.undone:
                    continue
                cut_off = revocation.tokens_valid_after
                if has_passed(cut_off, now):
                    cut_off = next_bound(standing.tokens_valid_after, now)
                    _set_cut_off(tx, target, standing, cut_off, now)
                store.confirm_revocation(tx, revocation.id, cut_off)
            return self.state_within(tx, target)

    def confirm_remaining(self) -> bool:
        """
        Confirm actions whose process ended between their commit and their confirmation.

        An action whose request is about to confirm it may be among them: that changes nothing,
        because any clock reading after the commit confirms it.

        Returns:
            Whether more may be left.
        """
        targets = store.unconfirmed_targets(self._database, _BATCH)
        for target in targets:
            self.confirm(target)
        return len(targets) == _BATCH

    def state(self, target: Target) -> State:
        """Return the state of a user or the app."""
        with self._database.snapshot() as connection:
            return self.state_within(connection, target)

    def users(self, *, suspended: bool | None, after: str | None, limit: int) -> list[UserState]:
        """
        Return the states of users who have a standing, in the order of their IDs.

        Args:
            suspended: Whether to return only suspended or only other users; `None` for both.
            after: Last user ID of the previous page.
        """
        with self._database.snapshot() as connection:
            page = standings.page_of_users(
                connection, suspended=suspended, after=after, limit=limit
            )
            return self._reads.users(connection, page)

    def wait_until_applied(self, target: Target, seconds: int) -> State | None:
        """
        Wait until Stream has the cut-off, at most for `seconds`, and return the state.

        Returns:
            `None` immediately if all slots for waiting requests are in use.
        """
        try:
            with self._wait_slots.outside():
                end = time.monotonic() + seconds
                state = self.state(target)
                while state.stream.state == DeliveryState.PENDING and time.monotonic() < end:
                    time.sleep(_POLL_SECONDS)
                    state = self.state(target)
                return state
        except NoWaitSlotError:
            return None

    def holds_until(self, state: State) -> HoldsUntil | None:
        """Return what ends the refusals of a state; `None` if nothing is refused."""
        user = state if isinstance(state, UserState) else None
        suspended = user is not None and user.suspended
        if state.tokens_valid_after is None and not suspended:
            return None
        if user is not None and user.erasure is not None:
            return HoldsUntil.NEVER
        target = Target(user.user_id) if user is not None else APP
        return rules.holds_until(target, self._sources, suspended=suspended)

    def _add(
        self,
        tx: Transaction,
        target: Target,
        standing: StoredStanding,
        kind: RevocationKind,
        context: ActionContext,
    ) -> tuple[float, Details]:
        """Add a revocation and move the cut-off. Return its time and the details of its event."""
        # Read the clock after the lock: during the wait for it, other requests can mint tokens.
        now = self._clock.read(tx)
        cut_off = next_bound(standing.tokens_valid_after, now)
        details = store.add_revocation(tx, target, kind, context, cut_off=cut_off, now=now)
        standing = replace(standing, epoch=standing.epoch + 1)
        if kind is RevocationKind.SUSPENSION:
            standing = replace(standing, suspended_at=int(now))
        _set_cut_off(tx, target, standing, cut_off, now)
        if target != APP:
            self.reach_within(tx, [target.subject], now)
        return now, details

    def reach_within(self, tx: Transaction, user_ids: Collection[str], now: float) -> None:
        """Let Stream reach what the cut-offs of users do not end, in a transaction."""
        for kind in self._reach:
            deliveries.mark_each_pending(tx, kind, user_ids, now)

    def state_within(self, connection: Connection, target: Target) -> State:
        """Return the state of a user or the app, also in the transaction of an action."""
        return self._reads.state(connection, target)


def _set_cut_off(
    tx: Transaction, target: Target, standing: StoredStanding, cut_off: int | None, now: float
) -> None:
    standings.write(tx, target, replace(standing, tokens_valid_after=cut_off))
    deliveries.mark_pending(tx, *delivery_of(target), now)
