"""Apply the events of identity providers, each once."""

from dataclasses import asdict

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.issuers.events import Effect, ProviderEvent
from tokensvc.revocations import store as revocations
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.events import store
from tokensvc.revocations.rules import PROVIDER_PREFIX
from tokensvc.revocations.service import Revocations
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind
from tokensvc.stream import renewals


class ProviderEvents:
    """
    The effects of verified events.

    Args:
        revocations: Actions that an event causes.
        erasures: Erasures that an event causes.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        revocations: Revocations,
        erasures: Erasures,
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._revocations = revocations
        self._erasures = erasures

    def apply(self, event: ProviderEvent) -> bool:
        """
        Apply an event, and return false if it was applied before.

        The memory of its ID and its effect are one transaction: an event that was not applied can
        be sent again.
        """
        with self._database.write() as tx:
            is_new = store.add_event(tx, event)
            if is_new:
                self._apply(tx, event)
        # Also for a repetition: the process of the first may have stopped before this line.
        self._revocations.confirm(Target(event.user_id))
        return is_new

    def _apply(self, tx: Transaction, event: ProviderEvent) -> None:
        user_id = event.user_id
        target, context = Target(user_id), ActionContext(PROVIDER_PREFIX + event.issuer, event.name)
        match event.effect:
            case Effect.SIGN_OUT:
                self._sign_out(tx, user_id, context)
            case Effect.SUSPEND:
                before = standings.lock(tx, target)
                is_own = revocations.suspended_by(tx, target) == context.actor
                self._revocations.suspend_within(tx, target, context)
                if before.suspended_at is not None and before.erased_at is None and not is_own:
                    # When the other suspension ends, sign-ins from before must not mint.
                    self._sign_out(tx, user_id, context)
            case Effect.ERASE:
                self._erasures.erase_within(tx, user_id, context)
            case Effect.REINSTATE:
                standing = standings.lock(tx, target, create=False)
                is_own = revocations.suspended_by(tx, target) == context.actor
                is_later = (standing.suspended_at or 0) <= event.issued_by
                if is_own and is_later and standing.erased_at is None:
                    self._revocations.reinstate_within(tx, target, context)
            case Effect.END_SESSION if event.session is not None:
                store.end_session(tx, event.session)
                renewals.renew_within(tx, self._clock, user_id, context)
                now, details = self._clock.read(tx), asdict(event.session)
                action = Action.PROVIDER_SESSION_ENDED
                record(tx, context, action, user_id, now=now, details=details)

    def _sign_out(self, tx: Transaction, user_id: str, context: ActionContext) -> None:
        kind = RevocationKind.REVOCATION
        details = self._revocations.revoke_within(tx, user_id, kind, context)
        now = self._clock.read(tx)
        record(tx, context, Action.USER_REVOKED, user_id, now=now, details=details)
