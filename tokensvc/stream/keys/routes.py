"""
`/v1/stream-keys…`, and the routes that every ring of keys has: parse, call, render.

No response contains a secret.
"""

from flask import Blueprint

from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import Authorize
from tokensvc.core.current_request import log_fields
from tokensvc.core.scopes import Scope
from tokensvc.http.body import NoParameters, parse_both, parse_query
from tokensvc.http.parameters import ActionQuery, ActionRequest, PageQuery, page_of
from tokensvc.http.respond import Response, json_response
from tokensvc.stream.keys.actions import RingActions
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.states import InfoT

PATH = "/v1/stream-keys"


class AddStreamKeyRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A Stream key from Stream's dashboard.

    Attributes:
        api_key: Public API key, 1 to 255 visible ASCII characters.
        secret: Secret of the API key, at least 32 bytes.
        check: Whether Stream must first accept the key and confirm that it belongs to the same
            Stream app. Without effect if `stream.delivery` is off.
    """

    api_key: str
    secret: str
    check: bool = True

    def __repr__(self) -> str:
        """Return the members without the secret."""
        return f"{type(self).__name__}(api_key={self.api_key!r}, check={self.check})"


class ActivateStreamKeyRequest(ActionRequest, frozen=True, forbid_unknown_fields=True):
    """
    Body of an activation.

    Attributes:
        check: Whether Stream must first accept the key and confirm that it belongs to the same
            Stream app. Without effect if `stream.delivery` is off.
    """

    check: bool = True


def stream_key_routes(rotation: StreamKeyRotation, authorize: Authorize) -> Blueprint:
    """
    Return the routes of the ring of Stream keys.

    Args:
        authorize: Function that returns the calling service if it has the scope.
    """
    blueprint = Blueprint("stream_keys", __name__, url_prefix=PATH)

    add_ring_routes(blueprint, rotation, authorize)

    @blueprint.post("")
    def add_key() -> Response:
        query, body = parse_both(ActionQuery, AddStreamKeyRequest)
        context = context_of(authorize, query, body)
        secret = body.secret.encode("utf-8")
        key = rotation.add(body.api_key, secret, context, check=body.check)
        log_fields(api_key=key.api_key)  # not before: key and secret may be swapped
        if context.dry_run:
            return json_response(key)
        return json_response(key, 201, [("Location", f"{PATH}/{key.id}")])

    @blueprint.post("/<key_id>/activate")
    def activate_key(key_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActivateStreamKeyRequest)
        context = context_of(authorize, query, body)
        return json_response(rotation.activate(key_id, context, check=body.check))

    return blueprint


def add_ring_routes(
    blueprint: Blueprint, rotation: RingActions[InfoT], authorize: Authorize
) -> None:
    """Add the routes that both rings have."""

    @blueprint.get("")
    def get_keys() -> Response:
        query = parse_query(PageQuery)
        authorize(Scope.KEYS_WRITE)
        found = rotation.page(after=query.after, limit=query.limit + 1)
        return json_response(page_of(found, query.limit, lambda key: key.id))

    @blueprint.get("/<any_except(rotate):key_id>")
    def get_key(key_id: str) -> Response:
        parse_query(NoParameters)
        authorize(Scope.KEYS_WRITE)
        return json_response(rotation.one(key_id))

    @blueprint.post("/<key_id>/retire")
    def retire_key(key_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        return json_response(rotation.retire(key_id, context_of(authorize, query, body)))


def context_of(authorize: Authorize, query: ActionQuery, body: ActionRequest) -> ActionContext:
    """Return the context of an action, whose caller needs the scope for keys."""
    return ActionContext(authorize(Scope.KEYS_WRITE).client_id, body.reason, query.dry_run)
