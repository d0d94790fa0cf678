"""The grant `client_credentials`: a service gets an access token (RFC 6749 section 4.4)."""

from typing import Literal

from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.sessions.issued import TokenResponse, service_response
from tokensvc.sessions.oauth.grant import Client, ClientForm, OAuth


class ClientCredentialsForm(ClientForm, frozen=True, kw_only=True):
    """
    Request of a service for an access token (RFC 6749 section 4.4.2).

    Attributes:
        grant_type: Always `client_credentials`.
        scope: Scopes of the access token, separated by spaces, out of those of the client. Default:
            all.
    """

    grant_type: Literal["client_credentials"]
    scope: str = ""


def issue(oauth: OAuth, form: ClientCredentialsForm, client: Client) -> TokenResponse:
    """
    Issue an access token to a service.

    Raises:
        Refusal: `credentials_invalid` for an app; `malformed_request` with the OAuth error
            `invalid_scope`.
    """
    service = client.service
    if service is None:
        raise Refusal(
            Code.CREDENTIALS_INVALID,
            "Send the client's ID and secret as `Authorization: Basic`, or in `client_id` "
            "and `client_secret`.",
        )
    scopes = _narrow_scopes(service.scopes, form.scope)
    minted = oauth.access_tokens.mint_for_service(
        service.client_id,
        service.secret_id or "",
        scopes,
        ends_at=service.secret_expires_at,
        now=service.now,
        ring_version=service.signing_ring_version,
    )
    return service_response(minted, scopes)


def _narrow_scopes(held: frozenset[str], scope: str) -> frozenset[str]:
    if not scope:
        return held
    wanted = frozenset(scope.split())
    if not wanted or not wanted <= held:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "`scope` can only narrow the scopes of the client: write some of them, separated by "
            "spaces.",
            oauth_error=OAuthError.INVALID_SCOPE,
        )
    return wanted
