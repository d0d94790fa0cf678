"""`/v1/signing-keys…` and the published keys: parse, call, render."""

from collections.abc import Sequence

from flask import Blueprint

from tokensvc.core.callers import Authorize
from tokensvc.http.body import NoParameters, parse_both, parse_query
from tokensvc.http.parameters import ActionQuery, ActionRequest
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.stream.keys.routes import add_ring_routes, context_of

SIGNING_PATH = "/v1/signing-keys"
JWKS_PATH = "/.well-known/jwks.json"


def signing_key_routes(
    rotation: SigningKeyRotation, keys: SigningKeys, max_age: int, authorize: Authorize
) -> Sequence[Blueprint]:
    """
    Return the routes of the ring of signing keys, and of its public keys.

    Args:
        max_age: Seconds for which verifiers may cache the public keys.
        authorize: Function that returns the calling service if it has the scope.
    """
    actions = Blueprint("signing_keys", __name__, url_prefix=SIGNING_PATH)
    add_ring_routes(actions, rotation, authorize)

    @actions.post("/rotate")
    def rotate() -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        return json_response(rotation.rotate(context_of(authorize, query, body)))

    published = Blueprint("published_keys", __name__)
    caching = (("Cache-Control", f"public, max-age={max_age}"),)

    @published.get(JWKS_PATH)
    def get_public_keys() -> Response:
        parse_query(NoParameters)
        return json_response(keys.public_keys(), caching=caching)

    return actions, published
