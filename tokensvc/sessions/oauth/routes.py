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
from tokensvc.http.form import form_parameters, parse_form
from tokensvc.http.protocol_errors import REVOCATION_PATH, TOKEN_PATH
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.access_tokens.routes import JWKS_PATH
from tokensvc.sessions.oauth.client_credentials import ClientCredentialsForm, issue
from tokensvc.sessions.oauth.grant import Client, ClientForm, Grant, OAuth, required
from tokensvc.sessions.oauth.refresh_token import RefreshTokenForm, refresh
from tokensvc.sessions.oauth.revocation import OAuthRevocationForm, revoke

AuthenticateClient: TypeAlias = Callable[[BasicCredential], SecretCaller]
"""Authenticates a service and counts the request; else raises a refusal."""

METADATA_PATH = "/.well-known/oauth-authorization-server"

GRANTS: Final = {
    "refresh_token": Grant(RefreshTokenForm, refresh),
    "client_credentials": Grant(ClientCredentialsForm, issue),
}
"""All grant types, as the metadata lists them."""

_AUTHENTICATION_METHODS = ("none", "client_secret_basic", "client_secret_post")
_CACHED = (("Cache-Control", "public, max-age=300"),)


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
        parameters = form_parameters()
        grant = _grant(parameters.get("grant_type", ""))
        form = msgspec.convert(parameters, grant.form)
        return json_response(grant.tokens(oauth, form, _client(form, authenticate)))

    @blueprint.post(REVOCATION_PATH)
    def post_oauth_revocation() -> Response:
        form = parse_form(OAuthRevocationForm)
        token = required(form.token, "token")
        revoke(oauth, token, _client(form, authenticate).id)
        return Response(200)

    @blueprint.get(METADATA_PATH)
    def get_oauth_metadata() -> Response:
        parse_query(NoParameters)
        return json_response(metadata, caching=_CACHED)

    return blueprint


def _grant(grant_type: str) -> Grant:
    grant = GRANTS.get(required(grant_type, "grant_type"))
    if grant is None:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"`grant_type` must be {' or '.join(GRANTS)}. Users sign in at POST /v1/sessions.",
            oauth_error=OAuthError.UNSUPPORTED_GRANT_TYPE,
        )
    return grant


def _client(form: ClientForm, authenticate: AuthenticateClient) -> Client:
    credential = unverified_client(form.client_id, form.client_secret)
    service = None if credential is None else authenticate(credential)
    return Client(service, form.client_id, client_address())


def _metadata(public_url: str) -> OAuthMetadata:
    return OAuthMetadata(
        issuer=public_url,
        token_endpoint=public_url + TOKEN_PATH,
        revocation_endpoint=public_url + REVOCATION_PATH,
        jwks_uri=public_url + JWKS_PATH,
        scopes_supported=[scope.value for scope in Scope],
        response_types_supported=[],
        grant_types_supported=list(GRANTS),
        token_endpoint_auth_methods_supported=list(_AUTHENTICATION_METHODS),
        revocation_endpoint_auth_methods_supported=list(_AUTHENTICATION_METHODS),
        service_documentation=f"{public_url}/docs",
    )
