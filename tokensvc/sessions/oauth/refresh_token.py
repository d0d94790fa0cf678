"""The grant `refresh_token`: an app refreshes a session (RFC 6749 section 6)."""

from typing import Literal

from tokensvc.core.current_request import set_rate_limit_fields
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.limits.service import check_limit
from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.issued import TokenResponse, user_response
from tokensvc.sessions.oauth.grant import Client, ClientForm, OAuth, required
from tokensvc.telemetry import metrics


class RefreshTokenForm(ClientForm, frozen=True, kw_only=True):
    """
    Request of an app for the next tokens of a session (RFC 6749 section 6).

    Attributes:
        grant_type: Always `refresh_token`.
        refresh_token: Newest refresh token of the session.
        scope: Refused: the tokens of a user have no scopes.
    """

    grant_type: Literal["refresh_token"]
    refresh_token: str = ""
    scope: str = ""


def refresh(oauth: OAuth, form: RefreshTokenForm, client: Client) -> TokenResponse:
    """
    Refresh a session.

    Raises:
        Refusal: `malformed_request`, with `scope` as the OAuth error `invalid_scope`;
            `credentials_invalid` with the OAuth error `invalid_grant`; `rate_limited`;
            `temporarily_unavailable`, without a rotation, if no access token can be signed.
    """
    refresh_token = required(form.refresh_token, "refresh_token")
    if form.scope:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "The tokens of a user have no scopes: leave `scope` out.",
            oauth_error=OAuthError.INVALID_SCOPE,
        )
    client_id = client.id
    presented = refresh_tokens.parse(refresh_token)
    if presented is not None:
        # Counted later, since the token is not verified yet: a forged one must not count.
        check_limit(oauth.limiter.peek("refresh", presented.family_id.hex()))
    try:
        issued = oauth.sessions.refresh(
            refresh_token, client_id, oauth.access_tokens.check_can_sign, address=client.address
        )
    except Refusal as refusal:
        if refusal.oauth_error is OAuthError.INVALID_GRANT:
            metrics.count_auth_failure("refresh")
            check_limit(oauth.limiter.hit("failures", client.address))
        raise
    # Never refused here: the session has been refreshed.
    set_rate_limit_fields(*oauth.limiter.hit("refresh", issued.family.id).fields())
    return user_response(issued, oauth.access_tokens)
