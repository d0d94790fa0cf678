"""OAuth grants and revocation: refresh a session, issue a service's token, end a session."""

from collections.abc import Callable

from tokensvc.clients.service import SecretCaller
from tokensvc.core.current_request import log_fields, set_rate_limit_fields
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.issuers.verify import parse
from tokensvc.limits.enforcement import check
from tokensvc.limits.service import Limiter
from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.access_tokens.tokens import AccessClaims, AccessTokens, ServiceClaims
from tokensvc.sessions.client_ids import narrow_scopes
from tokensvc.sessions.issued import TokenResponse, service_response, user_response
from tokensvc.sessions.service import Sessions
from tokensvc.standing.rules import RingVersion
from tokensvc.telemetry import metrics


class OAuth:
    """Grants and revocation for OAuth clients."""

    def __init__(
        self,
        *,
        signing_ring_now: Callable[[], tuple[float, RingVersion]],
        sessions: Sessions,
        access_tokens: AccessTokens,
        limiter: Limiter,
    ) -> None:
        self._signing_ring_now = signing_ring_now
        self._sessions = sessions
        self._access_tokens = access_tokens
        self._limiter = limiter

    def refresh(self, refresh_token: str, client_id: str, address: str) -> TokenResponse:
        """
        Refresh a session (RFC 6749 section 6).

        Args:
            refresh_token: Refresh token as the client sent it.
            client_id: Client that sent it.
            address: Client address, also for the limit on failures.

        Raises:
            Refusal: `credentials_invalid` with the OAuth error `invalid_grant`; `rate_limited`;
                `temporarily_unavailable`, without a rotation, if no access token can be signed.
        """
        presented = refresh_tokens.parse(refresh_token)
        if presented is not None:
            # Counted later, since the token is not verified yet: a forged one must not count.
            check(self._limiter.peek("refresh", presented.family_id.hex()))
        try:
            issued = self._sessions.refresh(
                refresh_token, client_id, self._access_tokens.check_can_sign, address=address
            )
        except Refusal as refusal:
            if refusal.oauth_error is OAuthError.INVALID_GRANT:
                metrics.count_auth_failure("refresh")
                check(self._limiter.hit("failures", address))
            raise
        # Never refused here: the session has been refreshed.
        set_rate_limit_fields(*self._limiter.hit("refresh", issued.family.id).fields())
        return user_response(issued, self._access_tokens)

    def issue(self, service: SecretCaller, scope: str) -> TokenResponse:
        """
        Issue an access token to a service (RFC 6749 section 4.4).

        Args:
            service: Service, just authenticated with its secret.
            scope: Requested scopes, separated by spaces; "": all that it has.

        Raises:
            Refusal: `malformed_request` with the OAuth error `invalid_scope`.
        """
        scopes = narrow_scopes(service.scopes, scope)
        minted = self._access_tokens.mint_for_service(
            service.client_id,
            service.secret_id or "",
            scopes,
            ends_at=service.secret_expires_at,
            now=service.now,
            ring_version=service.signing_ring_version,
        )
        return service_response(minted, scopes)

    def revoke(self, token: str, client_id: str) -> None:
        """
        End the session of any of its tokens (RFC 7009).

        A token that is not valid, or of another client, changes nothing.

        Args:
            client_id: Client that sent the token.

        Raises:
            Refusal: `malformed_request` with the OAuth error `unsupported_token_type` for a token
                of the service that sends it.
        """
        if token.startswith(refresh_tokens.PREFIX):
            self._sessions.revoke(token, client_id)
            return
        claims = self._claims_of(token)
        if claims is None or claims.client_id != client_id:
            return
        if isinstance(claims, ServiceClaims):
            raise Refusal(
                Code.MALFORMED_REQUEST,
                "The access token of a service cannot be revoked: delete its secret, or wait until "
                "the token expires.",
                oauth_error=OAuthError.UNSUPPORTED_TOKEN_TYPE,
            )
        log_fields(user_id=claims.sub, client_id=client_id)
        self._sessions.end(claims.sub, claims.sid)

    def _claims_of(self, unverified_token: str) -> AccessClaims | None:
        """Return the claims of an access token, also of an expired one; `None` if it is invalid."""
        try:
            token = self._access_tokens.verify(parse(unverified_token))
            # Not before: a text that is not a token costs no connection.
            _, ring_version = self._signing_ring_now()
            self._access_tokens.verify_again(token, ring_version)
        except Refusal as refusal:
            if refusal.code is Code.CREDENTIALS_INVALID:
                return None
            raise
        return token.claims
