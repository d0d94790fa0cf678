"""Authenticate the caller, limit their requests, and read a signed-in user's standing."""

from collections.abc import Callable

from tokensvc.callers.access_tokens import AccessTokenCallers, AccountCaller
from tokensvc.callers.rules import (
    MALFORMED,
    WITH_CREDENTIALS,
    RouteKind,
    check_standing,
    limit_of_refused,
    limits_of,
)
from tokensvc.clients.service import Clients, SecretCaller
from tokensvc.core import current_request
from tokensvc.core.callers import (
    BasicCredential,
    BearerCredential,
    Caller,
    Credential,
    ServiceCaller,
    UserCaller,
)
from tokensvc.core.current_request import mark_authenticated
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.verify import parse
from tokensvc.limits.service import Limiter, check_limit
from tokensvc.standing.rules import Standing
from tokensvc.standing.store import StandingStore
from tokensvc.telemetry import metrics


class Callers:
    """
    Authenticates all kinds of caller.

    Args:
        record_use: Function that records that a client authenticated with a secret.
        access_tokens: Callers with an access token of this service; `None` without built-in
            accounts.
        account_prefix: Prefix of the user IDs that are only for users with an account; empty if
            there are none.
    """

    def __init__(
        self,
        *,
        issuers: Issuers,
        clients: Clients,
        standings: StandingStore,
        limiter: Limiter,
        record_use: Callable[[str], None],
        access_tokens: AccessTokenCallers | None,
        account_prefix: str,
    ) -> None:
        self._issuers = issuers
        self._clients = clients
        self._standings = standings
        self._limiter = limiter
        self._record_use = record_use
        self._access_tokens = access_tokens
        self._account_prefix = account_prefix

    def authenticate(self, credential: Credential, address: str) -> Caller:
        """
        Verify a credential, and count the request if the credential is refused.

        Verification is first, so that an address with too many failures does not stop valid callers
        there: many of them can share one address.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired` or `user_id_invalid`, each
                `rate_limited` beyond its limit; `temporarily_unavailable` also if the keys of an
                issuer are unavailable.
        """
        try:
            caller = self._verify(credential)
        except Refusal as refusal:
            if refusal.code is Code.CREDENTIALS_INVALID:
                kind = "bearer" if isinstance(credential, BearerCredential) else "basic"
                metrics.count_auth_failure(kind)
            limit = limit_of_refused(refusal, address)
            if limit is not None:
                check_limit(self._limiter.hit(*limit))
            raise
        if isinstance(caller, UserCaller):
            mark_authenticated(issuer=caller.issuer, user_id=caller.user_id)
        else:
            mark_authenticated(client_id=caller.client_id)
        return caller

    def limit_refused(self, refusal: Refusal, address: str) -> Refusal:
        """
        Count a malformed request without a verified credential as a failure of its address.

        Returns:
            The refusal of the request, or that of the limit.
        """
        request = current_request.get()
        if (
            refusal.code not in MALFORMED
            or request.is_authenticated
            or not request.environ["PATH_INFO"].startswith(WITH_CREDENTIALS)
        ):
            return refusal
        try:
            check_limit(self._limiter.hit("failures", address))
        except Refusal as beyond:
            return beyond
        return refusal

    def check_limit(self, caller: Caller, route: RouteKind, user_id: str | None = None) -> None:
        """
        Count a request of an authenticated caller, and refuse it beyond a limit.

        Args:
            caller: Authenticated caller.
            route: Kind of route.
            user_id: Legal ID of the user for whom a service requests a token.

        Raises:
            Refusal: `rate_limited`.
        """
        own, *others = limits_of(caller, route, user_id)
        if others:
            # Counted last: what a user's limit refuses must not use up the service's.
            check_limit(self._limiter.peek(*own))
        for limit in (*others, own):
            check_limit(self._limiter.hit(*limit))

    def signed_in_user(
        self, credential: Credential, address: str, route: RouteKind
    ) -> tuple[UserCaller, Standing]:
        """
        Authenticate a user, count the request, and check the user's standing.

        Args:
            credential: Unverified credential.
            address: Client address, for the limit on failures.
            route: Kind of route.

        Raises:
            Refusal: As `authenticate` and `read_standing`; `rate_limited`; `insufficient_scope`
                for a service; `user_erased`, `user_suspended`, `sign_in_required`.
        """
        caller = self.authenticate(credential, address)
        self.check_limit(caller, route)
        if not isinstance(caller, UserCaller):
            raise Refusal(
                Code.INSUFFICIENT_SCOPE, "This route is for signed-in users, not for services."
            )
        standing = self.read_standing(caller, caller.user_id)
        check_standing(caller, standing)
        return caller, standing

    def read_standing(self, caller: Caller, user_id: str) -> Standing:
        """
        Read the standing of a user in one statement, for an access token with its session.

        It includes the account if a service names a user ID that only an account can have, and
        the session at the provider if a logout there ends sessions.

        Args:
            caller: Authenticated caller.
            user_id: ID of the user whom the request is about.

        Raises:
            Refusal: What `AccessTokenCallers.read_standing` raises, for an access token.
        """
        if isinstance(caller, AccountCaller) and self._access_tokens is not None:
            return self._access_tokens.read_standing(caller)
        if isinstance(caller, UserCaller) and caller.provider_session is not None:
            return self._standings.read_with_provider_session(user_id, caller.provider_session)
        prefix = self._account_prefix
        if prefix and isinstance(caller, ServiceCaller) and user_id.startswith(prefix):
            return self._standings.read_with_account(user_id)
        return self._standings.read(user_id)

    def service_client(self, credential: BasicCredential, address: str) -> SecretCaller:
        """
        Authenticate a service by its secret, and count the request.

        Raises:
            Refusal: As `authenticate`; `rate_limited`.
        """
        caller = self.authenticate(credential, address)
        self.check_limit(caller, "other")
        assert isinstance(caller, SecretCaller)  # noqa: S101 - for the type checker
        return caller

    def service_with(self, scope: str, credential: Credential, address: str) -> ServiceCaller:
        """
        Authenticate a service that has a scope, and count the request.

        Raises:
            Refusal: As `authenticate`; `rate_limited`; `insufficient_scope` for a user, or without
                the scope.
        """
        caller = self.authenticate(credential, address)
        self.check_limit(caller, "other")
        if isinstance(caller, ServiceCaller) and scope in caller.scopes:
            return caller
        raise Refusal(
            Code.INSUFFICIENT_SCOPE, f"This route is for a service client with the scope {scope}."
        )

    def _verify(self, credential: Credential) -> Caller:
        match credential:
            case BearerCredential():
                caller = self._verify_token(credential.token)
            case BasicCredential():
                caller = self._clients.authenticate(credential.client_id, *credential.secrets)
        if isinstance(caller, ServiceCaller) and caller.secret_id is not None:
            self._record_use(caller.secret_id)
        return caller

    def _verify_token(self, unverified_token: str) -> Caller:
        unverified = parse(unverified_token)
        own = self._access_tokens
        if own is not None and unverified.issuer == own.issuer:
            return own.authenticate(unverified)
        return self._issuers.authenticate(unverified)
