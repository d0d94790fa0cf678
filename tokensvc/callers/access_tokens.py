"""Callers with an access token of this service: users of built-in accounts, and services."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tokensvc.accounts.settings import ACCOUNTS
from tokensvc.callers.rules import check_standing, session_ended
from tokensvc.clients.service import Clients
from tokensvc.core.callers import Caller, SessionRef, UserCaller, require_session
from tokensvc.core.clock import Clock
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Refusal
from tokensvc.issuers.verify import UnverifiedToken
from tokensvc.sessions.access_tokens.tokens import AccessToken, AccessTokens, ServiceClaims
from tokensvc.sessions.service import Sessions
from tokensvc.standing.rules import RingVersion, Standing
from tokensvc.standing.store import StandingStore


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCaller(UserCaller):
    """
    A user of a built-in account, whose session is not read yet.

    Attributes:
        access_token: Verified token, to verify it again if the key ring has changed since.
    """

    access_token: AccessToken = field(repr=False)


class AccessTokenCallers:
    """
    Verifies access tokens, and reads the session or the client behind them.

    Args:
        signing_ring_now: Function that returns the database time in epoch seconds, which the
            tokens' `iat` and `exp` use, and the version of the ring of their keys.
        clock: Clock of this host.

    Attributes:
        issuer: The `iss` of access tokens.
    """

    def __init__(
        self,
        *,
        tokens: AccessTokens,
        sessions: Sessions,
        clients: Clients,
        standings: StandingStore,
        signing_ring_now: Callable[[], tuple[float, RingVersion]],
        clock: Clock,
    ) -> None:
        self.issuer = tokens.issuer
        self._tokens = tokens
        self._sessions = sessions
        self._clients = clients
        self._standings = standings
        self._signing_ring_now = signing_ring_now
        self._clock = clock

    def authenticate(self, unverified: UnverifiedToken) -> Caller:
        """
        Verify a token and return its user or service.

        A user's token may have expired by the database's clock: `read_standing` refuses it.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`.
        """
        try:
            return self._authenticate(unverified)
        except Refusal:
            log_fields(issuer=ACCOUNTS)
            raise

    def read_standing(self, caller: AccountCaller) -> Standing:
        """
        Return the standing of a user whose session is open. One statement reads both.

        Raises:
            Refusal: `credentials_invalid` if the token's key was retired; `credentials_expired`;
                `user_erased`, `user_suspended`; `sign_in_required` if the session has ended.
        """
        found = self._sessions.read_open(require_session(caller).id)
        if found is not None and found.session.user_id == caller.user_id:
            self._tokens.verify_again(caller.access_token, found.signing_ring_version)
            caller.access_token.check_not_expired(found.now)
            return found.standing
        # Most sessions are open; only for another one, read why it is refused.
        self._check_now(caller.access_token)
        check_standing(caller, self._standings.read(caller.user_id))
        raise session_ended()

    def _authenticate(self, unverified: UnverifiedToken) -> Caller:
        token = self._tokens.verify(unverified)
        claims = token.claims
        if isinstance(claims, ServiceClaims):
            return self._clients.authenticate_token(
                claims.sub, claims.secret_id, claims.scopes, partial(self._check, token)
            )
        if claims.exp <= self._clock():
            self._check_now(token)  # this host's clock may be ahead
        return AccountCaller(
            user_id=claims.sub,
            issuer=ACCOUNTS,
            signed_in_at=claims.auth_time,
            clock_ahead=0,
            session=SessionRef(claims.sid, claims.client_id),
            access_token=token,
        )

    def _check_now(self, token: AccessToken) -> None:
        self._check(token, *self._signing_ring_now())

    def _check(self, token: AccessToken, now: float, ring_version: RingVersion) -> None:
        self._tokens.verify_again(token, ring_version)
        token.check_not_expired(now)
