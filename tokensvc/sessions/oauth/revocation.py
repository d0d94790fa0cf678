"""The end of the session of a token (RFC 7009)."""

from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.issuers.verify import parse
from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.access_tokens.tokens import AccessClaims, ServiceClaims
from tokensvc.sessions.oauth.grant import ClientForm, OAuth


class OAuthRevocationForm(ClientForm, frozen=True, kw_only=True):
    """
    Request to revoke a token (RFC 7009 section 2.1).

    Attributes:
        token: Refresh token or access token of the session to end.
        token_type_hint: Ignored: the token's format shows its type.
    """

    token: str = ""
    token_type_hint: str = ""


def revoke(oauth: OAuth, token: str, client_id: str) -> None:
    """
    End the session of any of its tokens.

    A token that is not valid, or of another client, changes nothing.

    Args:
        client_id: Client that sent the token.

    Raises:
        Refusal: `malformed_request` with the OAuth error `unsupported_token_type` for a token of
            the service that sends it.
    """
    if token.startswith(refresh_tokens.PREFIX):
        oauth.sessions.revoke(token, client_id)
        return
    claims = _claims_of(oauth, token)
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
    oauth.sessions.end(claims.sub, claims.sid)


def _claims_of(oauth: OAuth, unverified_token: str) -> AccessClaims | None:
    """Return the claims of an access token, also of an expired one; `None` if it is invalid."""
    try:
        token = oauth.access_tokens.verify(parse(unverified_token))
        # Not before: a text that is not a token costs no connection.
        _, ring_version = oauth.signing_ring_now()
        oauth.access_tokens.verify_again(token, ring_version)
    except Refusal as refusal:
        if refusal.code is Code.CREDENTIALS_INVALID:
            return None
        raise
    return token.claims
