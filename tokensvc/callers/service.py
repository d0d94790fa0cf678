"""Authenticate the caller, limit their requests, and read a signed-in user's standing."""

from tokensvc.callers.policies import RouteKind, limit_of_refused, limits_of, too_many_requests
from tokensvc.callers.rules import check_standing
from tokensvc.clients.service import Clients
from tokensvc.clients.usage import SecretUsage
from tokensvc.core.callers import Caller, ServiceCaller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.credentials import BasicCredential, BearerCredential, Credential
from tokensvc.http.request_log import note, set_rate_limit_fields
from tokensvc.issuers.service import Issuers
from tokensvc.limits.rules import LimitState
from tokensvc.limits.service import Limiter
from tokensvc.standing.rules import Standing
from tokensvc.standing.store import StandingStore
from tokensvc.telemetry import metrics


class Callers:
    """Authenticates all kinds of caller."""

    def __init__(
        self,
        *,
        issuers: Issuers,
        clients: Clients,
        standings: StandingStore,
        limiter: Limiter,
        secret_usage: SecretUsage,
    ) -> None:
        self._issuers = issuers
        self._clients = clients
        self._standings = standings
        self._limiter = limiter
        self._secret_usage = secret_usage

    def authenticate(self, credential: Credential, address: str) -> Caller:
        """
        Verify a credential, and count the request if the credential is refused.

        Verification is first, so that an address with too many failures does not stop valid callers
        there: many of them can share one address.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired` or `user_id_invalid`, each
                `rate_limited` beyond its limit; `temporarily_unavailable`.
        """
        try:
            caller = self._verify(credential)
        except Refusal as refusal:
            if refusal.code is Code.CREDENTIALS_INVALID:
                kind = "bearer" if isinstance(credential, BearerCredential) else "basic"
                metrics.count_auth_failure(kind)
            limit = limit_of_refused(refusal, address)
            if limit is not None:
                self._check(self._limiter.hit(*limit))
            raise
        if isinstance(caller, UserCaller):
            note(issuer=caller.issuer, user_id=caller.user_id)
        else:
            note(client_id=caller.client_id)
        return caller

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
            self._check(self._limiter.peek(*own))
        for limit in (*others, own):
            self._check(self._limiter.hit(*limit))

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
            Refusal: As `authenticate`; `rate_limited`; `insufficient_scope` for a service;
                `user_suspended`, `sign_in_required`.
        """
        caller = self.authenticate(credential, address)
        self.check_limit(caller, route)
        if not isinstance(caller, UserCaller):
            raise Refusal(
                Code.INSUFFICIENT_SCOPE, "This route is for signed-in users, not for services."
            )
        standing = self._standings.read(caller.user_id)
        check_standing(caller, standing)
        return caller, standing

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
                return self._issuers.authenticate(credential.token)
            case BasicCredential():
                service = self._clients.authenticate(credential.client_id, credential.secret)
                if service.secret_id is not None:
                    self._secret_usage.record(service.secret_id)
                return service

    def _check(self, state: LimitState) -> None:
        set_rate_limit_fields(*state.fields())
        if not state.allowed:
            metrics.count_limit_hit(state.policy)
            raise too_many_requests(state)
