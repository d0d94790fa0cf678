"""`/v1/stream-keys…`: parse, call, render. No response contains a secret."""

from flask import Blueprint

from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import Authorize
from tokensvc.core.scopes import Scope
from tokensvc.http.actions import ActionQuery, ActionRequest
from tokensvc.http.body import NoParameters, parse_both, parse_query
from tokensvc.http.paging import PageQuery, page_of
from tokensvc.http.request_log import note
from tokensvc.http.respond import Response, json_response
from tokensvc.keys.rotation import StreamKeyRotation

PATH = "/v1/stream-keys"


class AddStreamKeyRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A key pair from Stream's dashboard.

    Attributes:
        api_key: Public API key, 1 to 255 visible ASCII characters.
        secret: Secret of the API key, at least 32 bytes.
        check: Whether Stream must first accept the pair and confirm that it belongs to the same
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


def routes(rotation: StreamKeyRotation, authorize: Authorize) -> Blueprint:
    """
    Return the routes of the key ring.

    Args:
        authorize: Function that returns the calling service if it has the scope.
    """
    blueprint = Blueprint("stream_keys", __name__, url_prefix=PATH)

    def context_of(query: ActionQuery, body: ActionRequest) -> ActionContext:
        return ActionContext(authorize(Scope.KEYS_WRITE).client_id, body.reason, query.dry_run)

    @blueprint.get("")
    def get_keys() -> Response:
        query = parse_query(PageQuery)
        authorize(Scope.KEYS_WRITE)
        found = rotation.page(after=query.after, limit=query.limit + 1)
        return json_response(page_of(found, query.limit, lambda key: key.id))

    @blueprint.get("/<key_id>")
    def get_key(key_id: str) -> Response:
        parse_query(NoParameters)
        authorize(Scope.KEYS_WRITE)
        return json_response(rotation.one(key_id))

    @blueprint.post("")
    def add_key() -> Response:
        query, body = parse_both(ActionQuery, AddStreamKeyRequest)
        context = context_of(query, body)
        secret = body.secret.encode("utf-8")
        key = rotation.add(body.api_key, secret, context, check=body.check)
        note(api_key=key.api_key)  # not before: key and secret may be swapped
        if context.dry_run:
            return json_response(key)
        return json_response(key, 201, [("Location", f"{PATH}/{key.id}")])

    @blueprint.post("/<key_id>/activate")
    def activate_key(key_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActivateStreamKeyRequest)
        context = context_of(query, body)
        return json_response(rotation.activate(key_id, context, check=body.check))

    @blueprint.post("/<key_id>/retire")
    def retire_key(key_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(query, body)
        return json_response(rotation.retire(key_id, context))

    return blueprint
