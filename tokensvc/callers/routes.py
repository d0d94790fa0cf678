"""`GET /v1/me`: the signed-in user."""

import msgspec
from flask import Blueprint

from tokensvc.callers.service import Callers
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.credentials import client_address, unverified_credential
from tokensvc.http.respond import Response, json_response
from tokensvc.stream.keys.service import StreamKeys


class Me(msgspec.Struct, frozen=True):
    """
    The signed-in user.

    Attributes:
        user_id: ID of the user on Stream, for `connectUser`.
        api_key: Stream API key to build the client with, or `null` if no key is active.
        issuer: Configured name of the identity provider; `accounts` for a built-in account.
    """

    user_id: str
    api_key: str | None
    issuer: str


def routes(callers: Callers, keys: StreamKeys) -> Blueprint:
    """Return the routes of the signed-in user."""
    blueprint = Blueprint("callers", __name__)

    @blueprint.get("/v1/me")
    def get_me() -> Response:
        parse_query(NoParameters)
        caller, standing = callers.signed_in_user(
            unverified_credential(), client_address(), "other"
        )
        active = keys.ring_at(standing.ring_version).active
        return json_response(
            Me(
                user_id=caller.user_id,
                api_key=active.api_key if active else None,
                issuer=caller.issuer,
            )
        )

    return blueprint
