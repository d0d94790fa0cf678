"""`GET` and `POST /v1/token`: parse, call, respond."""

import msgspec
from flask import Blueprint

from tokensvc.http.body import parse_body, parse_query
from tokensvc.http.credentials import client_address, unverified_credential
from tokensvc.http.respond import Response, json_response, text_response, wants_text
from tokensvc.tokens.rules import TokenQuery, TokenRequest
from tokensvc.tokens.service import TokenService


def routes(tokens: TokenService) -> Blueprint:
    """Return the routes of the token provider endpoint."""
    blueprint = Blueprint("tokens", __name__)

    # 1 parse.
    @blueprint.post("/v1/token")
    def post_token() -> Response:
        return _respond(tokens, parse_body(TokenRequest))

    @blueprint.get("/v1/token")
    def get_token() -> Response:
        query = parse_query(TokenQuery)
        return _respond(tokens, TokenRequest(**msgspec.structs.asdict(query)))

    return blueprint


def _respond(tokens: TokenService, request: TokenRequest) -> Response:
    as_text = wants_text()
    minted = tokens.mint_token(request, unverified_credential(), client_address())
    # 7 respond.
    return text_response(minted.token) if as_text else json_response(minted)
