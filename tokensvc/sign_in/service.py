"""
Sessions that begin with a password: sign-in, and change of the password.

`accounts` checks the password. A session has the epochs from before the check, so an action that
ends all sessions in between ends this one too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tokensvc.accounts.passwords.rules import CheckPassword
from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.addresses import wider_networks
from tokensvc.core.current_request import log_fields, set_rate_limit_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.limits.rules import Policy
from tokensvc.limits.service import Limiter, check_limit
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.issued import IssuedSession, TokenResponse, user_response
from tokensvc.sessions.service import Sessions
from tokensvc.sign_in.attempts import REVOKED, PasswordAttempts, sign_in_refused
from tokensvc.sign_in.rules import Attempt
from tokensvc.sign_in.store import SignInStanding
from tokensvc.standing import ring_versions
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Epochs, RevocationKind, Ring
from tokensvc.telemetry import metrics

_RESULTS: Final = {
    Code.CREDENTIALS_INVALID: "refused",
    Code.USER_SUSPENDED: "refused",
    Code.RATE_LIMITED: "delayed",
}
"""
Labels of the metric for failed sign-ins; all other failures are `unavailable`.

Only refusals with these codes can count as a failure of the address.
"""
_ADDRESS_LIMITS: Final[tuple[Policy, ...]] = ("sign_in", "sign_in_56", "sign_in_48")
"""Limits of an address, and of the wider networks of an IPv6 address."""


class PasswordSessions:
    """
    Opens sessions for users who send their password.

    Args:
        limiter: Limits on failed sign-ins per address, and on sign-ins per user.
        check_password: Check of new passwords.
    """

    def __init__(
        self,
        *,
        database: Database,
        database_clock: DatabaseClock,
        sign_ins: PasswordAttempts,
        sessions: Sessions,
        access_tokens: AccessTokens,
        revocations: Revocations,
        limiter: Limiter,
        check_password: CheckPassword,
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._sign_ins = sign_ins
        self._sessions = sessions
        self._access_tokens = access_tokens
        self._revocations = revocations
        self._limiter = limiter
        self._check_password = check_password

    def sign_in(
        self, user_id: str, password: str, *, client_id: str, address: str
    ) -> TokenResponse:
        """
        Open a session for a user who sends the right password.

        Args:
            client_id: OAuth client, to which the session is bound.
            address: Client address, for the limits on failures.

        Raises:
            Refusal: `credentials_invalid`; `user_suspended`, only for the right password;
                `rate_limited` after too many failures of the address or the user, or too many
                requests of the user; `temporarily_unavailable` if no thread is free to hash.
        """
        try:
            self._check_limit_of_user(user_id)
            with self._limited(address) as known_only:
                attempt = self._check(user_id, password, address, known_only=known_only)
                found = self._sign_ins.read_standing_again(attempt)
                with self._database.write() as tx:
                    issued = self._open(tx, attempt, client_id, found, address)
        except Refusal as refusal:
            metrics.count_sign_in(_RESULTS.get(refusal.code, "unavailable"))
            raise
        metrics.count_sign_in("ok")
        set_rate_limit_fields(*self._limiter.hit("mint", user_id).fields())
        return self._respond(issued)

    def change_password(
        self, user_id: str, current: str, new: str, *, client_id: str, address: str
    ) -> TokenResponse:
        """
        Change the password of a signed-in user, end all their sessions, and open a new one.

        Raises:
            Refusal: `password_rejected` for the new password; all of `sign_in` for the current one.
        """
        self._check_password(new, user_id)
        with self._limited(address) as known_only:
            attempt = self._check(user_id, current, address, known_only=known_only)
            new_hash = self._sign_ins.hash_new(attempt, new)
            issued = self._replace(attempt, new_hash, client_id, address)
        self._revocations.confirm(Target(user_id))
        return self._respond(issued)

    @contextmanager
    def _limited(self, address: str) -> Iterator[bool]:
        """
        Yield whether the address or its network has too many failures, and count one of the block.

        With too many, only accounts that know the address are checked; a wrong password of these
        gets the same refusal as all that is not checked.
        """
        keys = (address, *wider_networks(address))
        limits = list(zip(_ADDRESS_LIMITS, keys, strict=False))
        states = [self._limiter.peek(*limit) for limit in limits]
        exceeded = next((state for state in states if not state.allowed), None)
        set_rate_limit_fields(*states[0].fields())
        try:
            yield exceeded is not None
        except Refusal as refusal:
            if refusal.code not in _RESULTS:
                raise
            if exceeded is None:
                counted = [self._limiter.hit(*limit) for limit in limits]
                set_rate_limit_fields(*counted[0].fields())
            elif refusal.code is not Code.USER_SUSPENDED:
                # It counts for no wider network: there it would stop others.
                check_limit(exceeded)
            raise

    def _check_limit_of_user(self, user_id: str) -> None:
        """Refuse a user whose own requests, also sign-ins, have used up their limit."""
        state = self._limiter.peek("mint", user_id)
        # What remains stays secret: it would show whether a user is active.
        if not state.allowed:
            check_limit(state)

    def _check(self, user_id: str, password: str, address: str, *, known_only: bool) -> Attempt:
        can_sign = self._access_tokens.check_can_sign
        return self._sign_ins.check(user_id, password, address, can_sign, known_only=known_only)

    def _open(
        self,
        tx: Transaction,
        attempt: Attempt,
        client_id: str,
        found: SignInStanding,
        address: str,
    ) -> IssuedSession:
        """Open the session of an attempt that succeeds."""
        user_id, now = attempt.user_id, found.now
        self._sign_ins.complete(tx, attempt, now)
        issued = self._sessions.open(
            tx,
            user_id,
            client_id,
            attempt.epochs,
            now=now,
            signing_ring_version=found.signing_ring_version,
            address=address,
        )
        context = ActionContext(user_id)
        details: Details = {"session": issued.family.id}
        record(tx, context, Action.ACCOUNT_SIGNED_IN, user_id, now=now, details=details)
        return issued

    def _replace(
        self, attempt: Attempt, new_hash: str, client_id: str, address: str
    ) -> IssuedSession:
        with self._database.write() as tx:
            issued = None
            if self._sign_ins.replace_password(tx, attempt, new_hash):
                issued = self._end_all_and_open(tx, attempt, client_id, address)
        if issued is None:
            raise sign_in_refused(REVOKED)  # after the commit: its event must survive the refusal
        return issued

    def _end_all_and_open(
        self, tx: Transaction, attempt: Attempt, client_id: str, address: str
    ) -> IssuedSession:
        user_id = attempt.user_id
        context = ActionContext(user_id)
        kind = RevocationKind.PASSWORD
        details = self._revocations.revoke_within(tx, user_id, kind, context)
        now = self._clock.read(tx)
        record(tx, context, Action.PASSWORD_CHANGED, user_id, now=now, details=details)
        # The app's epoch is the one from before the check: an action on all users ends this too.
        raised = standings.read_epochs(tx, user_id).user
        epochs = Epochs(user=raised, app=attempt.epochs.app)
        version = ring_versions.read(tx, Ring.SIGNING)
        return self._sessions.open(
            tx, user_id, client_id, epochs, now=now, signing_ring_version=version, address=address
        )

    def _respond(self, issued: IssuedSession) -> TokenResponse:
        log_fields(client_id=issued.family.client_id)
        return user_response(issued, self._access_tokens)
