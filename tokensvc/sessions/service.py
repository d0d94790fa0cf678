"""Open, refresh, list and end sessions."""

import secrets
from collections.abc import Callable, Collection, Mapping
from functools import partial

from tokensvc.audit.rules import DONE, Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.addresses import network_of
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.statements import run
from tokensvc.sessions import store
from tokensvc.sessions.events import record_predecessor, record_replay, record_rotation
from tokensvc.sessions.family_reads import FamilyRead, invalid_grant, parse, read_family
from tokensvc.sessions.issued import IssuedSession, issued_session, new_family
from tokensvc.sessions.refresh_tokens import FAMILY_KEY_BYTES, PresentedToken
from tokensvc.sessions.rules import (
    Advance,
    Confirm,
    EndReplayed,
    Family,
    Origin,
    Reject,
    ReturnCurrent,
    decide_refresh,
    seen_by_itself,
    why_dead,
)
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.store import SessionStanding
from tokensvc.standing.rules import Epochs, RingVersion
from tokensvc.stream import renewals
from tokensvc.telemetry import metrics
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.vault import Vault


class Sessions:
    """
    The sessions of built-in accounts.

    Args:
        hashes: Keyed hashes of addresses.
        renew_address: Function that stores that a user refreshed a session at an address, given as
            its hash.
        audits_refreshes: Whether each rotation is an audit event.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        vault: Vault,
        settings: SessionSettings,
        *,
        hashes: KeyedHashes,
        renew_address: Callable[[Transaction, str, str, float], None],
        audits_refreshes: bool,
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._read_session = partial(store.read, database, database_clock.host)
        decoy = vault.encrypt(secrets.token_bytes(FAMILY_KEY_BYTES))
        self._read_family = partial(read_family, self._read_session, vault, decoy)
        self._vault = vault
        self._hashes = hashes
        self._renew_address = renew_address
        self._audits_refreshes = audits_refreshes
        self._settings = settings

    def open(
        self,
        tx: Transaction,
        user_id: str,
        client_id: str,
        epochs: Epochs,
        *,
        now: float,
        signing_ring_version: RingVersion,
        address: str = "",
    ) -> IssuedSession:
        """
        Open a session in the transaction of its cause, which also writes the audit event.

        Args:
            epochs: Epochs as read before the password was checked.
            now: Epoch seconds of the database's clock.
            signing_ring_version: Version of the ring of the keys that sign access tokens.
            address: Client address; "" if it has none.
        """
        family, key = new_family(user_id, client_id, epochs, now, self._origin(address))
        store.insert(tx, family, *self._vault.encrypt(key))
        return issued_session(family, key, now, signing_ring_version)

    def refresh(
        self,
        unverified: str,
        client_id: str,
        check_can_sign: Callable[[RingVersion], None] = lambda _version: None,
        *,
        address: str = "",
    ) -> IssuedSession:
        """
        Return the current refresh token of a session, after a rotation if one is due.

        Args:
            unverified: Refresh token as the client sent it.
            client_id: Client that sent it.
            check_can_sign: Function that refuses before a rotation if no access token can be
                signed with the ring of signing keys of a version.
            address: Client address; "" if it has none.

        Raises:
            Refusal: `credentials_invalid` with the OAuth error `invalid_grant`: the token gives no
                access; `temporarily_unavailable` if this process cannot read the family key; what
                `check_can_sign` raises.
        """
        presented = parse(unverified)
        attempt = partial(
            self._attempt, presented, client_id, self._origin(address), check_can_sign
        )
        read = self._read_family(presented)
        issued = attempt(read)
        if issued is None:
            # Another request has changed the family since the read.
            was_current = presented.counter == read.family.counter
            issued = attempt(self._read_family(presented), was_current=was_current)
        if issued is None:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Other requests refresh this session. Retry after `Retry-After` seconds.",
                retry_after=1,
            )
        return issued

    def read_open(self, session_id: str) -> SessionStanding | None:
        """Return a session and the standings that apply to it; `None` unless it is open."""
        found = self._read_session(session_id)
        if found is None:
            return None
        family = store.family_in(found.session)
        return None if why_dead(family, found.epochs, found.now, self._settings) else found

    def revoke(self, unverified: str, client_id: str) -> None:
        """
        End the session of a refresh token, which may be any of its tokens (RFC 7009).

        A token that is invalid, or of another client, changes nothing.
        """
        try:
            family = self._read_family(parse(unverified)).family
        except Refusal as refusal:
            if refusal.oauth_error is OAuthError.INVALID_GRANT:
                return
            raise
        if family.client_id == client_id:
            self.end(family.user_id, family.id)

    def end(self, user_id: str, session_id: str, *, renews: bool | None = None) -> bool:
        """
        End a session of a user who asks for it.

        Args:
            renews: Whether to renew the user's Stream tokens; `None`: as the settings say.

        Returns:
            False if the user has no such session, or it has already ended.
        """
        renews = self._settings.end_renews if renews is None else renews
        with self._database.write() as tx:
            now = self._clock.read(tx)
            is_ended = store.end(tx, user_id, session_id, now)
            if is_ended:
                context, action = ActionContext(user_id), Action.SESSION_ENDED
                record(tx, context, action, user_id, now=now, details={"session": session_id})
                if renews:
                    renewals.renew_within(tx, self._clock, user_id, context, session=session_id)
        if is_ended and renews:
            renewals.confirm(self._database, self._clock, user_id)
        return is_ended

    def page(
        self, user_id: str, *, current: str = "", after: str | None, limit: int
    ) -> list[Family]:
        """
        Return the open sessions of a user, newest first.

        Args:
            current: ID of the session of the request.
            after: ID of the last session of the previous page.
        """
        with self._database.read() as connection:
            now = self._clock.read(connection)
            found = store.page(
                connection, user_id, self._settings, now=now, after=after, limit=limit
            )
        return [seen_by_itself(family, now) if family.id == current else family for family in found]

    def count_open(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, int]:
        """Return the number of open sessions of each user."""
        now = self._clock.read(connection)
        return store.count_open(connection, user_ids, self._settings, now=now)

    def _attempt(
        self,
        presented: PresentedToken,
        client_id: str,
        origin: Origin,
        check_can_sign: Callable[[RingVersion], None],
        read: FamilyRead,
        *,
        was_current: bool = False,
    ) -> IssuedSession | None:
        """
        Decide about a token, and apply the decision.

        Returns:
            `None` if the family has changed since it was read.
        """
        found, family = read.found, read.family
        log_fields(user_id=family.user_id, client_id=family.client_id)
        decision = decide_refresh(
            family,
            presented_counter=presented.counter,
            client_id=client_id,
            origin=origin,
            epochs=found.epochs,
            now=found.now,
            settings=self._settings,
            was_current=was_current,
        )
        if isinstance(decision, Reject):
            raise invalid_grant(decision.cause)
        if isinstance(decision, Advance):
            # A client that gets no response after a rotation may retry too late, as a replay.
            check_can_sign(found.signing_ring_version)
        if not self._apply(family, decision, found.now):
            return None
        # Only now, after the commit: the end of a replayed family must survive the refusal.
        if isinstance(decision, EndReplayed):
            raise invalid_grant(f"replayed_{decision.cause}")
        return issued_session(decision.family, read.key, found.now, found.signing_ring_version)

    def _apply(
        self, seen: Family, decision: ReturnCurrent | Confirm | Advance | EndReplayed, now: float
    ) -> bool:
        """Store a decision with its event. Return false if the family has changed."""
        new = decision.family
        if isinstance(decision, ReturnCurrent):
            if decision.from_elsewhere:
                with self._database.write() as tx:
                    record_predecessor(tx, new, now)
            return True
        if isinstance(decision, Confirm):
            with self._database.write() as tx:
                return store.confirm(tx, new)
        if isinstance(decision, EndReplayed):
            return self._end_replayed(seen, decision, now)
        is_stored = self._advance(seen, decision, now)
        if is_stored and decision.renews_address:
            self._renew_known_address(new, now)
        return is_stored

    def _advance(self, seen: Family, decision: Advance, now: float) -> bool:
        """Store a family unless it has changed, with an event if each rotation is one."""
        if not self._audits_refreshes:
            is_stored = store.replace_unchanged(self._database.change, seen, decision.family)
            if is_stored:
                metrics.count_action(Action.SESSION_REFRESHED, DONE)
            return is_stored
        with self._database.write() as tx:
            is_stored = store.replace_unchanged(partial(run, tx), seen, decision.family)
            if is_stored:
                record_rotation(tx, decision.family, now)
        return is_stored

    def _end_replayed(self, seen: Family, decision: EndReplayed, now: float) -> bool:
        """End a family unless it has changed, and renew the Stream tokens of its user."""
        user_id = seen.user_id
        with self._database.write() as tx:
            is_stored = store.replace_unchanged(partial(run, tx), seen, decision.family)
            if is_stored:
                context = record_replay(tx, decision, now)
                renewals.renew_within(tx, self._clock, user_id, context, session=decision.family.id)
        if is_stored:
            renewals.confirm(self._database, self._clock, user_id)
        return is_stored

    def _renew_known_address(self, family: Family, now: float) -> None:
        if family.rotated_from is not None:
            with self._database.write() as tx:
                self._renew_address(tx, family.user_id, family.rotated_from.address, now)

    def _origin(self, address: str) -> Origin:
        network = self._hashes.of_network(network_of(address))
        return Origin(self._hashes.of_address(address), network)
