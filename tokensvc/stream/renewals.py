"""
Renew the Stream tokens of a user: Stream refuses those issued so far, and nothing else changes.

The Stream SDK of a device that is still signed in gets a new token, without its user's notice.
"""

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.standing import store as standings
from tokensvc.standing.rules import StoredStanding, renewed, with_confirmed_renewal
from tokensvc.stream.delivery import store as deliveries


def renew_within(
    tx: Transaction,
    clock: DatabaseClock,
    user_id: str,
    context: ActionContext,
    *,
    session: str | None = None,
) -> None:
    """
    Move the Stream bound of a user to now, with an event, in a transaction.

    Call `confirm` after the commit and before the response.

    Args:
        session: ID of the session whose end is the cause.
    """
    target = Target(user_id)
    standing = standings.lock(tx, target)
    # Read the clock after the lock: during the wait for it, other requests can mint tokens.
    now = clock.read(tx)
    after = renewed(standing, now)
    _write(tx, target, standing, after, now)
    details: Details = {"latest_renewal": after.latest_renewal or 0}
    if session is not None:
        details["session"] = session
    record(tx, context, Action.USER_RENEWED, user_id, now=now, details=details)


def confirm(database: Database, clock: DatabaseClock, user_id: str) -> None:
    """Confirm the latest renewal of a user: if its bound passed before its commit, move it."""
    target = Target(user_id)
    with database.write() as tx:
        confirm_within(tx, target, standings.lock(tx, target), clock.read(tx))


def confirm_within(
    tx: Transaction, target: Target, standing: StoredStanding, now: float
) -> StoredStanding:
    """
    Confirm the latest renewal of a target in a transaction, and return the new standing.

    Args:
        standing: Row that `standings.lock` returned.
        now: Epoch seconds, read after the lock.
    """
    after = with_confirmed_renewal(standing, now)
    if after != standing:
        _write(tx, target, standing, after, now)
    return after


def _write(
    tx: Transaction, target: Target, before: StoredStanding, after: StoredStanding, now: float
) -> None:
    """Write a standing. Renewals within one second have one bound, so they are one delivery."""
    standings.write(tx, target, after)
    if after.stream_bound != before.stream_bound:
        deliveries.mark_pending(tx, "user", target.subject, now, is_renewal=True)
