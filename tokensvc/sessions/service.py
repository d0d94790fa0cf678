"""Open, refresh, list and end sessions."""

import secrets
from collections.abc import Callable, Collection, Mapping

from tokensvc.accounts.attempt import Attempt
from tokensvc.accounts.lock_out_store import success_statements
from tokensvc.accounts.sign_in_reads import SignInStanding
from tokensvc.audit.rules import REFUSED, Action
from tokensvc.audit.store import new_row, record
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.http.request_log import note
from tokensvc.keys.vault import Vault, VaultError
from tokensvc.sessions import refresh_tokens, store
from tokensvc.sessions.grants import Grant, grant_of
from tokensvc.sessions.refresh_tokens import FAMILY_ID_BYTES, FAMILY_KEY_BYTES, PresentedToken
from tokensvc.sessions.rules import (
    Advance,
    EndReplayed,
    Family,
    Reject,
    ReturnCurrent,
    decide_refresh,
    why_dead,
)
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.store import StoredFamily, stored_family
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Epochs, Ring, RingVersion
from tokensvc.standing.session_read import SessionReads, SessionStanding


class Sessions:
    """
    The sessions of built-in accounts.

    Every method raises `Refusal` `temporarily_unavailable` if the database fails.

    Args:
        clock: Clock of the database.
        random_bytes: Function that returns a number of cryptographically random bytes.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        reads: SessionReads,
        vault: Vault,
        settings: SessionSettings,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._reads = reads
        self._replacements = store.Replacements(database)
        self._openings = store.Openings(database, success_statements(database.dialect))
        self._vault = vault
        self._settings = settings
        self._random_bytes = random_bytes

    def open(
        self, tx: Transaction, user_id: str, client_id: str, epochs: Epochs, now: float
    ) -> Grant:
        """
        Open a session in the transaction of a password change, which also writes its audit event.

        Args:
            epochs: Epochs as read before the password was checked.
            now: Epoch seconds of the database's clock.
        """
        family, key = self._new(user_id, client_id, epochs, now)
        store.insert(tx, StoredFamily(family, *self._vault.wrap(key)))
        return grant_of(family, key, now, ring_versions.read(tx, Ring.SIGNING))

    def open_confirmed(self, attempt: Attempt, client_id: str, found: SignInStanding) -> Grant:
        """
        Open a session and complete its sign-in with an audit event, in one transaction.

        Args:
            found: What was read after the password was checked.
        """
        family, key = self._new(attempt.user_id, client_id, attempt.epochs, found.now)
        context = ActionContext(family.user_id, f"session {family.id}")
        event = new_row(context, Action.ACCOUNT_SIGNED_IN, family.user_id, now=found.now)
        stored = StoredFamily(family, *self._vault.wrap(key))
        self._openings.insert(stored, attempt.success_values(found.now), event)
        return grant_of(family, key, found.now, found.signing_ring_version)

    def refresh(
        self,
        unverified: str,
        client_id: str,
        check_can_sign: Callable[[RingVersion], None] = lambda _version: None,
    ) -> Grant:
        """
        Return the current refresh token of a session, after a rotation if one is due.

        Args:
            unverified: Refresh token as the client sent it.
            client_id: Client that sent it.
            check_can_sign: Function that refuses before a rotation if no access token can be
                signed with the ring of signing keys of a version.

        Raises:
            Refusal: `credentials_invalid` with the OAuth error `invalid_grant`: the token gives no
                access. `temporarily_unavailable` also if this process cannot read the family key.
                What `check_can_sign` raises.
        """
        presented = _parse(unverified)
        found = self._find(presented)
        grant = self._attempt(presented, client_id, found, check_can_sign)
        if grant is None:
            # Another request has changed the family since the read.
            was_current = presented.counter == found.session.counter
            found = self._find(presented)
            grant = self._attempt(
                presented, client_id, found, check_can_sign, was_current=was_current
            )
        if grant is None:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Other requests refresh this session. Retry after `Retry-After` seconds.",
                retry_after=1,
            )
        return grant

    def read_live(self, session_id: str) -> SessionStanding | None:
        """Return a session and the standings that apply to it; `None` unless it is live."""
        found = self._reads.read(session_id)
        if found is None:
            return None
        family = stored_family(found.session).family
        return None if why_dead(family, found.epochs, found.now, self._settings) else found

    def revoke(self, unverified: str, client_id: str) -> None:
        """
        End the session of a refresh token, which may be any of its tokens (RFC 7009).

        A token that is invalid, or of another client, changes nothing.
        """
        try:
            presented = _parse(unverified)
            family, _ = self._verify(presented, self._find(presented))
        except Refusal as refusal:
            if refusal.oauth_error is OAuthError.INVALID_GRANT:
                return
            raise
        if family.client_id == client_id:
            self.end(family.user_id, family.id)

    def end(self, user_id: str, session_id: str) -> bool:
        """
        End a session of a user who asks for it.

        Returns:
            False if the user has no such session, or it has already ended.
        """
        with self._database.write() as tx:
            now = self._clock.read(tx)
            is_ended = store.end(tx, user_id, session_id, now)
            if is_ended:
                context = ActionContext(user_id, f"session {session_id}")
                record(tx, context, Action.SESSION_ENDED, user_id, now=now)
        return is_ended

    def page(self, user_id: str, *, after: str | None, limit: int) -> list[Family]:
        """
        Return the live sessions of a user, newest first.

        Args:
            after: ID of the last session of the previous page.
        """
        with self._database.read() as connection:
            now = self._clock.read(connection)
            return store.page(
                connection, user_id, self._settings, now=now, after=after, limit=limit
            )

    def count_live(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, int]:
        """Return the number of live sessions of each user."""
        now = self._clock.read(connection)
        return store.count_live(connection, user_ids, self._settings, now=now)

    def _new(
        self, user_id: str, client_id: str, epochs: Epochs, now: float
    ) -> tuple[Family, bytes]:
        """Return a new family and its key."""
        family = Family(
            id=self._random_bytes(FAMILY_ID_BYTES).hex(),
            user_id=user_id,
            client_id=client_id,
            counter=0,
            rotated_at=None,
            created_at=now,
            last_used_at=now,
            epochs=epochs,
            ended_at=None,
        )
        return family, self._random_bytes(FAMILY_KEY_BYTES)

    def _find(self, presented: PresentedToken) -> SessionStanding:
        found = self._reads.read(presented.family_id.hex())
        if found is None:
            raise _invalid_grant("unknown_family")
        return found

    def _verify(self, presented: PresentedToken, found: SessionStanding) -> tuple[Family, bytes]:
        """Return the family and its key, if the service made the token."""
        stored = stored_family(found.session)
        try:
            key = self._vault.unwrap(stored.key_ciphertext)
        except VaultError as error:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "The service cannot read the key of this session. Contact the operator.",
                reason=f"family key under encryption key {stored.wrapped_by}: {error}",
                retry_after=30,
            ) from error
        if not refresh_tokens.verify(presented, key):
            raise _invalid_grant("forged")
        return stored.family, key

    def _attempt(
        self,
        presented: PresentedToken,
        client_id: str,
        found: SessionStanding,
        check_can_sign: Callable[[RingVersion], None],
        *,
        was_current: bool = False,
    ) -> Grant | None:
        """
        Decide about a token, and apply the decision.

        Returns:
            `None` if the family has changed since it was read.
        """
        family, key = self._verify(presented, found)
        note(user_id=family.user_id, client_id=family.client_id)
        decision = decide_refresh(
            family,
            presented_counter=presented.counter,
            client_id=client_id,
            standing=found.epochs,
            now=found.now,
            settings=self._settings,
            was_current=was_current,
        )
        if isinstance(decision, Reject):
            raise _invalid_grant(decision.cause)
        if isinstance(decision, Advance):
            # A client that gets no response after a rotation may retry too late, as a replay.
            check_can_sign(found.signing_ring_version)
        if not isinstance(decision, ReturnCurrent) and not self._apply(family, decision, found.now):
            return None
        # Only now, after the commit: the end of a replayed family must survive the refusal.
        if isinstance(decision, EndReplayed):
            raise _invalid_grant(f"replayed_{decision.cause}")
        return grant_of(decision.family, key, found.now, found.signing_ring_version)

    def _apply(self, seen: Family, decision: Advance | EndReplayed, now: float) -> bool:
        """Store a decision with its event. Return false if the family has changed."""
        return self._replacements.replace_unchanged(seen, decision.family, _event(decision, now))


def _event(decision: Advance | EndReplayed, now: float) -> dict[str, object]:
    family = decision.family
    if isinstance(decision, Advance):
        context = ActionContext(family.user_id, f"session {family.id}")
        return new_row(context, Action.SESSION_REFRESHED, family.user_id, now=now)
    # The user or a thief has sent the token: the service itself ends the session.
    context = ActionContext("service:sessions", f"{decision.cause}: session {family.id}")
    return new_row(context, Action.SESSION_REPLAYED, family.user_id, now=now, outcome=REFUSED)


def _parse(unverified: str) -> PresentedToken:
    presented = refresh_tokens.parse(unverified)
    if presented is None:
        raise _invalid_grant("malformed")
    return presented


def _invalid_grant(reason: str) -> Refusal:
    """Return the one refusal for every token without access: the client learns no cause."""
    return Refusal(
        Code.CREDENTIALS_INVALID,
        "The refresh token is invalid, expired or revoked. Sign the user in again.",
        reason=reason,
        oauth_error=OAuthError.INVALID_GRANT,
    )
