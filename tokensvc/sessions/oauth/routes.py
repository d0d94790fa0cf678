"""`/oauth/token`, `/oauth/revoke`, and the metadata of the authorization server."""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
from flask import Blueprint

from tokensvc.clients.service import SecretCaller
from tokensvc.core.callers import BasicCredential
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.core.scopes import Scope
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.credentials import client_address, unverified_client
from tokensvc.http.form import parse_form
from tokensvc.http.oauth_errors import REVOCATION_PATH, TOKEN_PATH
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.access_tokens.routes import JWKS_PATH
from tokensvc.sessions.client_ids import public_client_id
from tokensvc.sessions.issued import TokenResponse
from tokensvc.sessions.oauth.service import OAuth

AuthenticateClient: TypeAlias = Callable[[BasicCredential], SecretCaller]
"""Authenticates a service and counts the request; else raises a refusal."""

METADATA_PATH = "/.well-known/oauth-authorization-server"

_AUTHENTICATION_METHODS = ("none", "client_secret_basic", "client_secret_post")
_CACHED = (("Cache-Control", "public, max-age=300"),)


class _ClientForm(msgspec.Struct, frozen=True):
    """
    The client in the body of a request.

    Attributes:
        client_id: Client that sends the request. Default: `app`.
        client_secret: Secret of a service that does not use `Authorization: Basic`.
    """

    client_id: str = ""
    client_secret: str = ""

    def __repr__(self) -> str:
        """Leave out the secret and the tokens."""
        return f"{type(self).__name__}(client_id={self.client_id!r})"


class OAuthTokenForm(_ClientForm, frozen=True, kw_only=True):
    """
    Request for tokens (RFC 6749 sections 4.4.2 and 6).

    Attributes:
        grant_type: `refresh_token` for an app, `client_credentials` for a service.
        refresh_token: Newest refresh token of the session. Only with `refresh_token`.
        scope: Scopes of the access token, separated by spaces, out of those of the client. Default:
            all. Only with `client_credentials`.
    """

    grant_type: str = ""
    refresh_token: str = ""
    scope: str = ""


class OAuthRevocationForm(_ClientForm, frozen=True, kw_only=True):
    """
    Request to revoke a token (RFC 7009 section 2.1).

    Attributes:
        token: Refresh token or access token of the session to end.
        token_type_hint: Ignored: the token's format shows its type.
    """

    token: str = ""
    token_type_hint: str = ""


class OAuthMetadata(msgspec.Struct, frozen=True):
    """
    What an OAuth client needs to know (RFC 8414 section 2).

    Attributes:
        issuer: The `iss` of access tokens.
        token_endpoint: URL for tokens.
        revocation_endpoint: URL to revoke a token.
        jwks_uri: URL of the public keys.
        scopes_supported: Scopes that a service can have.
        response_types_supported: Empty, because the service has no authorization endpoint.
        grant_types_supported: Supported grant types.
        token_endpoint_auth_methods_supported: How a client authenticates at the token endpoint.
        revocation_endpoint_auth_methods_supported: How a client authenticates to revoke a token.
        service_documentation: URL of the documentation.
    """

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    service_documentation: str


def routes(oauth: OAuth, public_url: str, authenticate: AuthenticateClient) -> Blueprint:
    """
    Return the routes of OAuth clients.

    Args:
        public_url: URL of the service, without a slash at the end.
        authenticate: Function that authenticates a service.
    """
    blueprint = Blueprint("oauth", __name__)
    metadata = _metadata(public_url)

    @blueprint.post(TOKEN_PATH)
    def post_oauth_token() -> Response:
        form = parse_form(OAuthTokenForm)
        return json_response(_tokens(oauth, form, authenticate))

    @blueprint.post(REVOCATION_PATH)
    def post_oauth_revocation() -> Response:
        form = parse_form(OAuthRevocationForm)
        token = _required(form.token, "token")
        oauth.revoke(token, _client_id(form, authenticate))
        return Response(200)

    @blueprint.get(METADATA_PATH)
    def get_oauth_metadata() -> Response:
        parse_query(NoParameters)
        return json_response(metadata, caching=_CACHED)

    return blueprint


def _tokens(oauth: OAuth, form: OAuthTokenForm, authenticate: AuthenticateClient) -> TokenResponse:
    grant = _GRANTS.get(_required(form.grant_type, "grant_type"))
    if grant is None:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"`grant_type` must be {' or '.join(_GRANTS)}. Users sign in at POST /v1/sessions.",
            oauth_error=OAuthError.UNSUPPORTED_GRANT_TYPE,
        )
    return grant(oauth, form, authenticate)


def _refresh(oauth: OAuth, form: OAuthTokenForm, authenticate: AuthenticateClient) -> TokenResponse:
    refresh_token = _required(form.refresh_token, "refresh_token")
    if form.scope:
        raise _invalid_scope()
    client_id = _client_id(form, authenticate)
    return oauth.refresh(refresh_token, client_id, client_address())


def _issue(oauth: OAuth, form: OAuthTokenForm, authenticate: AuthenticateClient) -> TokenResponse:
    service = _service(form, authenticate)
    if service is None:
        raise Refusal(
            Code.CREDENTIALS_INVALID,
            "Send the client's ID and secret as `Authorization: Basic`, or in `client_id` "
            "and `client_secret`.",
        )
    return oauth.issue(service, form.scope)


_GRANTS: Final = {"refresh_token": _refresh, "client_credentials": _issue}
"""Each grant type and the function that parses its request and calls the service."""


def _service(form: _ClientForm, authenticate: AuthenticateClient) -> SecretCaller | None:
    """Return the service that sent the request; `None` if it is from an app."""
    credential = unverified_client(form.client_id, form.client_secret)
    return None if credential is None else authenticate(credential)


def _client_id(form: _ClientForm, authenticate: AuthenticateClient) -> str:
    service = _service(form, authenticate)
    return public_client_id(form.client_id) if service is None else service.client_id


def _required(value: str, name: str) -> str:
    if not value:
        raise Refusal(Code.MALFORMED_REQUEST, f"`{name}` is missing.")
    return value


def _invalid_scope() -> Refusal:
    return Refusal(
        Code.MALFORMED_REQUEST,
        "The tokens of a user have no scopes: leave `scope` out.",
        oauth_error=OAuthError.INVALID_SCOPE,
    )


def _metadata(public_url: str) -> OAuthMetadata:
    return OAuthMetadata(
        issuer=public_url,
        token_endpoint=public_url + TOKEN_PATH,
        revocation_endpoint=public_url + REVOCATION_PATH,
        jwks_uri=public_url + JWKS_PATH,
        scopes_supported=[scope.value for scope in Scope],
        response_types_supported=[],
        grant_types_supported=list(_GRANTS),
        token_endpoint_auth_methods_supported=list(_AUTHENTICATION_METHODS),
        revocation_endpoint_auth_methods_supported=list(_AUTHENTICATION_METHODS),
        service_documentation=f"{public_url}/docs",
    )
