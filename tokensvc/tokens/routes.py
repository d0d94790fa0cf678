"""`GET` and `POST /v1/token`: parse, call, render."""

from typing import Any

import msgspec
from flask import Blueprint

from tokensvc.http.body import parse_body, parse_query
from tokensvc.http.credentials import client_address, unverified_credential
from tokensvc.http.respond import Reply, json_response, text_response, wants_text
from tokensvc.tokens.rules import TokenQuery, TokenRequest
from tokensvc.tokens.service import TokenService


class TokenResponse(msgspec.Struct, frozen=True):
    """
    A token and its properties.

    Attributes:
        token: Stream user token, for `connectUser`.
        user_id: ID of the user on Stream.
        api_key: Stream API key that the token is valid with.
        issued_at: Claim `iat`, in epoch seconds. It is a few seconds ago, for clocks that are
            behind.
        expires_at: Claim `exp`, in epoch seconds.
        expires_in: Seconds from now to `expires_at`.
        user: User object of the request.
    """

    token: str
    user_id: str
    api_key: str
    issued_at: int
    expires_at: int
    expires_in: int
    user: dict[str, Any] | None

    def __repr__(self) -> str:
        """Leave out the token."""
        return f"TokenResponse(user_id={self.user_id!r}, api_key={self.api_key!r})"


def routes(tokens: TokenService) -> Blueprint:
    """Give the routes of the token provider endpoint."""
    blueprint = Blueprint("tokens", __name__)

    @blueprint.post("/v1/token")
    def post_token() -> Reply:
        return _answer(tokens, parse_body(TokenRequest))

    @blueprint.get("/v1/token")
    def get_token() -> Reply:
        query = parse_query(TokenQuery)
        return _answer(tokens, TokenRequest(**msgspec.structs.asdict(query)))

    return blueprint


def _answer(tokens: TokenService, request: TokenRequest) -> Reply:
    as_text = wants_text()
    minted = tokens.mint_token(request, unverified_credential(), client_address())
    if as_text:
        return text_response(minted.token)
    return json_response(
        TokenResponse(
            token=minted.token,
            user_id=minted.user_id,
            api_key=minted.api_key,
            issued_at=minted.issued_at,
            expires_at=minted.expires_at,
            expires_in=minted.expires_in,
            user=request.user,
        )
    )
