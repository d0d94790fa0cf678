"""The acts: each one transaction, in force for every request that arrives after its answer."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from tokensvc.audit.rules import Action
from tokensvc.audit.store import kept_reason, record
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.delivery import store as deliveries
from tokensvc.delivery.rules import APP, DeliveryKind, DeliveryState
from tokensvc.delivery.store import DeliveryStatus
from tokensvc.revocations import rules, store
from tokensvc.revocations.rules import HoldsUntil, RevocationKind, Source
from tokensvc.revocations.state import State, UserState, app_state, user_state
from tokensvc.revocations.store import StoredStanding

_POLL = 0.05
"""Seconds between two looks at a delivery that somebody waits for."""


class Revocations:
    """
    Revokes, suspends, and undoes both. Everywhere `user_id` is `None` for everyone.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Args:
        clock: The database's.
        sources: Where user ids come from.
        delivers: Whether Stream is told; if not, states say `not_sent`.
        places: Where requests wait for Stream; each holds a thread that could mint.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        sources: Sequence[Source],
        *,
        delivers: bool,
        wait_slots: threading.Semaphore,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sources = sources
        self._delivers = delivers
        self._places = wait_slots

    def revoke(self, user_id: str | None, context: ActionContext) -> State:
        """Sign out everywhere: credentials from before mint no more, a fresh sign-in does."""
        with self._database.write(keep=not context.dry_run) as tx:
            standing = store.lock(tx, user_id)
            now = self._move(tx, user_id, standing, RevocationKind.REVOCATION, context)
            action = Action.APP_REVOKED if user_id is None else Action.USER_REVOKED
            _audit(tx, now, action, user_id, context)
            if context.dry_run:
                return self._state(tx, user_id)
        return self._settled(user_id)

    def suspend(self, user_id: str, context: ActionContext) -> State:
        """Sign a user out everywhere, and let nobody mint for them until they are reinstated."""
        with self._database.write(keep=not context.dry_run) as tx:
            standing = store.lock(tx, user_id)
            if standing.suspended_at is None:
                now = self._move(tx, user_id, standing, RevocationKind.SUSPENSION, context)
                _audit(tx, now, Action.USER_SUSPENDED, user_id, context)
            if context.dry_run:
                return self._state(tx, user_id)
        # Also of a repetition: the first request may have died before it came to this.
        return self._settled(user_id)

    def reinstate(self, user_id: str, context: ActionContext) -> State:
        """End a suspension. The cut-off stays, so that a fresh sign-in is needed."""
        with self._database.write(keep=not context.dry_run) as tx:
            standing = store.lock(tx, user_id, create=False)
            if standing.suspended_at is not None:
                store.write(tx, user_id, replace(standing, suspended_at=None))
                _audit(tx, self._clock.read(tx), Action.USER_REINSTATED, user_id, context)
            return self._state(tx, user_id)

    def undo(self, user_id: str | None, act_id: str, context: ActionContext) -> State:
        """
        Take back the latest act that stands: what it refused works again, stolen tokens too.

        Raises:
            Refusal: `not_found`, `superseded`, or `user_suspended` as a conflict.
        """
        with self._database.write(keep=not context.dry_run) as tx:
            standing = store.lock(tx, user_id)
            acts = store.acts(tx, user_id)
            act = rules.revocation_to_undo(
                acts, act_id, suspended=standing.suspended_at is not None
            )
            if act is not None:
                now = self._clock.read(tx)
                store.mark_undone(tx, act.id, now)
                cut_off = rules.cut_off_of(each for each in acts if each is not act)
                # The floor stays: Stream may still hold the cut-off that is taken back.
                store.write(tx, user_id, replace(standing, tokens_valid_after=cut_off))
                deliveries.mark_pending(tx, *_delivery_of(user_id), now)
                everyone, one = Action.APP_REVOCATION_UNDONE, Action.USER_REVOCATION_UNDONE
                _audit(tx, now, everyone if user_id is None else one, user_id, context)
            return self._state(tx, user_id)

    def state(self, user_id: str | None) -> State:
        """Tell what stands."""
        with self._database.snapshot() as connection:
            return self._state(connection, user_id)

    def users(self, *, suspended: bool | None, after: str | None, limit: int) -> list[UserState]:
        """Tell what stands against users who were ever revoked or suspended."""
        with self._database.snapshot() as connection:
            standings = store.page_of_users(
                connection, suspended=suspended, after=after, limit=limit
            )
            ids = list(standings)
            acts = store.revocations_by_user(connection, ids)
            told = deliveries.statuses(connection, "user", ids) if self._delivers else {}
        return [
            user_state(user_id, standing, acts[user_id], told.get(user_id))
            for user_id, standing in standings.items()
        ]

    def wait_until_applied(self, user_id: str | None, seconds: int) -> State | None:
        """
        Wait until Stream holds the cut-off, or for so many seconds, and tell what stands.

        Returns:
            `None` at once if too many wait already.
        """
        if not self._places.acquire(blocking=False):
            return None
        try:
            deadline = time.monotonic() + seconds
            state = self.state(user_id)
            while state.stream.state == DeliveryState.PENDING and time.monotonic() < deadline:
                time.sleep(_POLL)
                state = self.state(user_id)
            return state
        finally:
            self._places.release()

    def holds_until(self, state: State) -> HoldsUntil | None:
        """Tell what ends the refusals that a state means; `None` when nothing is refused."""
        user = state if isinstance(state, UserState) else None
        suspended = user is not None and user.suspended
        if state.tokens_valid_after is None and not suspended:
            return None
        return rules.holds_until(user.user_id if user else None, self._sources, suspended=suspended)

    def _move(
        self,
        tx: Transaction,
        user_id: str | None,
        standing: StoredStanding,
        kind: RevocationKind,
        context: ActionContext,
    ) -> float:
        """Set a new cut-off, and give the time of that."""
        # After the lock is held: a time from before the wait may already be in minted tokens.
        now = self._clock.read(tx)
        cut_off = rules.next_cut_off(standing.tokens_valid_after, now)
        store.add_revocation(
            tx,
            user_id,
            kind=kind,
            cut_off=cut_off,
            now=now,
            actor=context.actor,
            reason=kept_reason(context.reason),
        )
        if kind is RevocationKind.SUSPENSION:
            standing = replace(standing, suspended_at=int(now))
        _set_cut_off(tx, user_id, standing, cut_off, now)
        return now

    def _settled(self, user_id: str | None) -> State:
        """
        Move a cut-off once more if its commit was so slow that it has been reached.

        From the commit on every read sees the act. A token from a read before it says at most the
        time of the commit, which is why the clock is read here, after it.
        """
        with self._database.write() as tx:
            standing = store.lock(tx, user_id)
            now = self._clock.read(tx)
            for act in store.acts(tx, user_id):
                if act.settled or act.undone:
                    continue
                cut_off = act.tokens_valid_after
                if rules.has_passed(cut_off, now):
                    cut_off = rules.next_cut_off(standing.tokens_valid_after, now)
                    _set_cut_off(tx, user_id, standing, cut_off, now)
                store.confirm_revocation(tx, act.id, cut_off)
            return self._state(tx, user_id)

    def _state(self, connection: Connection, user_id: str | None) -> State:
        standing = store.read(connection, user_id)
        acts = store.acts(connection, user_id)
        delivery = self._delivery(connection, user_id)
        if user_id is None:
            return app_state(standing, acts, delivery)
        return user_state(user_id, standing, acts, delivery)

    def _delivery(self, connection: Connection, user_id: str | None) -> DeliveryStatus | None:
        if not self._delivers:
            return None
        return deliveries.status(connection, *_delivery_of(user_id))


def _set_cut_off(
    tx: Transaction, user_id: str | None, standing: StoredStanding, cut_off: int, now: float
) -> None:
    floor = max(standing.floor, cut_off)
    store.write(tx, user_id, replace(standing, tokens_valid_after=cut_off, floor=floor))
    deliveries.mark_pending(tx, *_delivery_of(user_id), now)


def _delivery_of(user_id: str | None) -> tuple[DeliveryKind, str]:
    return ("app", APP) if user_id is None else ("user", user_id)


def _audit(
    tx: Transaction, now: float, action: Action, user_id: str | None, context: ActionContext
) -> None:
    record(
        tx,
        now=now,
        actor=context.actor,
        action=action,
        subject=user_id or "app",
        reason=context.reason,
    )
