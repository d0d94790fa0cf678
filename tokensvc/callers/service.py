"""Authenticate the caller, limit their requests, and read a signed-in user's standing."""

from tokensvc.callers.rules import check_standing
from tokensvc.clients.service import Clients
from tokensvc.clients.usage import SecretUsage
from tokensvc.core.callers import Caller, ServiceCaller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.credentials import BasicCredential, BearerCredential, Credential
from tokensvc.http.request_log import note, set_rate_limit_fields
from tokensvc.issuers.service import Issuers
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
        Verify a credential, unless its address has too many failures.

        An expired credential does not count as a failure: it was valid once, and many users behind
        one address can send expired tokens at the same time.

        Raises:
            Refusal: `rate_limited`, `credentials_invalid`, `credentials_expired`,
                `user_id_invalid` or `temporarily_unavailable`.
        """
        self._check_address(address)
        try:
            caller = self._verify(credential)
        except Refusal as refusal:
            if refusal.code is Code.CREDENTIALS_INVALID:
                self._limiter.hit("failures", address)
                kind = "bearer" if isinstance(credential, BearerCredential) else "basic"
                metrics.count_auth_failure(kind)
            raise
        if isinstance(caller, UserCaller):
            note(issuer=caller.issuer, user_id=caller.user_id)
        else:
            note(client_id=caller.client_id)
        return caller

    def check_limit(self, caller: Caller) -> None:
        """
        Count a request of an authenticated caller, and refuse it beyond the caller's limit.

        Raises:
            Refusal: `rate_limited`.
        """
        if isinstance(caller, UserCaller):
            state = self._limiter.hit("mint", caller.user_id)
        else:
            state = self._limiter.hit("service", caller.client_id)
        set_rate_limit_fields(*state.fields())
        if not state.allowed:
            raise Refusal(
                Code.RATE_LIMITED,
                "Too many requests: wait, and keep a token until shortly before it expires.",
                retry_after=state.reset_after,
            )

    def signed_in_user(
        self, credential: Credential, address: str, *, limited: bool
    ) -> tuple[UserCaller, Standing]:
        """
        Authenticate a user and check their standing.

        Args:
            credential: Unverified credential.
            address: Client address, for the limit on failures.
            limited: Whether the request counts towards the user's limit. A user's own sign-out
                does not: the holder of a stolen token could use up the limit to prevent it.

        Raises:
            Refusal: As `authenticate`; `insufficient_scope` for a service; `rate_limited`;
                `user_suspended`, `sign_in_required`.
        """
        caller = self.authenticate(credential, address)
        if not isinstance(caller, UserCaller):
            raise Refusal(
                Code.INSUFFICIENT_SCOPE, "This route is for signed-in users, not for services."
            )
        if limited:
            self.check_limit(caller)
        standing = self._standings.read(caller.user_id)
        check_standing(caller, standing)
        return caller, standing

    def service_with(self, scope: str, credential: Credential, address: str) -> ServiceCaller:
        """
        Authenticate a service that has a scope.

        Raises:
            Refusal: As `authenticate`; `insufficient_scope` for a user, or without the scope.
        """
        caller = self.authenticate(credential, address)
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

    def _check_address(self, address: str) -> None:
        state = self._limiter.peek("failures", address)
        if not state.allowed:
            set_rate_limit_fields(*state.fields())
            raise Refusal(
                Code.RATE_LIMITED,
                "Too many failed authentications from this address: wait, then send a valid "
                "credential.",
                retry_after=state.reset_after,
            )
