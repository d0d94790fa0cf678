"""`/v1/stream-keys…`: parse, call, render. No answer has a secret in it."""

import msgspec
from flask import Blueprint
from msgspec import UNSET, UnsetType

from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import Authorize
from tokensvc.http.actions import ActionQuery, ActionRequest
from tokensvc.http.body import NoParameters, parse_both, parse_query
from tokensvc.http.paging import PageQuery, page_of
from tokensvc.http.request_log import note
from tokensvc.http.respond import Reply, json_response
from tokensvc.keys.rotation import RotationResult, StreamKeyRotation
from tokensvc.keys.rules import StreamKeyInfo

SCOPE = "keys:write"
PATH = "/v1/stream-keys"


class AddStreamKeyRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A key pair from Stream's dashboard.

    Attributes:
        api_key: Public API key, 1 to 255 visible ASCII characters.
        secret: Secret of the API key, at least 32 bytes.
        check: Whether Stream must first accept the pair and confirm that it belongs to the same
            Stream app.
    """

    api_key: str
    secret: str
    check: bool = False

    def __repr__(self) -> str:
        """Give all but the secret."""
        return f"{type(self).__name__}(api_key={self.api_key!r}, check={self.check})"


class StreamKeyActionResult(StreamKeyInfo, frozen=True, kw_only=True):
    """
    State of a key after an action.

    Attributes:
        also_changed: Other keys that the action changed, in their new states.
        unnamed_mints: Number of tokens minted in the last 24 hours for clients that named no key.
            Only after an activation.
        warning: Consequence of the action that the caller must know.
        dry_run: Present and `true` if nothing was changed.
    """

    also_changed: list[StreamKeyInfo] | UnsetType = UNSET
    unnamed_mints: int | UnsetType = UNSET
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


def routes(rotation: StreamKeyRotation, authorize: Authorize) -> Blueprint:
    """
    Give the routes of the ring of Stream keys.

    Args:
        authorize: Gives the service that may, or refuses.
    """
    blueprint = Blueprint("stream_keys", __name__, url_prefix=PATH)

    def context_of(query: ActionQuery, body: ActionRequest) -> ActionContext:
        return ActionContext(authorize(SCOPE).client_id, body.reason, query.dry_run)

    @blueprint.get("")
    def get_keys() -> Reply:
        query = parse_query(PageQuery)
        authorize(SCOPE)
        found = rotation.page(after=query.after, limit=query.limit + 1)
        return json_response(page_of(found, query.limit, lambda key: key.id))

    @blueprint.get("/<key_id>")
    def get_key(key_id: str) -> Reply:
        parse_query(NoParameters)
        authorize(SCOPE)
        return json_response(rotation.one(key_id))

    @blueprint.post("")
    def add_key() -> Reply:
        query, body = parse_both(ActionQuery, AddStreamKeyRequest)
        context = context_of(query, body)
        secret = body.secret.encode("utf-8")
        key = rotation.add(body.api_key, secret, context, check=body.check)
        note(api_key=key.api_key)  # not before: the halves may have been swapped
        if context.dry_run:
            return json_response(StreamKeyActionResult(**msgspec.structs.asdict(key), dry_run=True))
        return json_response(key, 201, [("Location", f"{PATH}/{key.id}")])

    @blueprint.post("/<key_id>/activate")
    def activate_key(key_id: str) -> Reply:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(query, body)
        return _answer(rotation.activate(key_id, context), context)

    @blueprint.post("/<key_id>/retire")
    def retire_key(key_id: str) -> Reply:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(query, body)
        return _answer(rotation.retire(key_id, context), context)

    return blueprint


def action_result(moved: RotationResult, context: ActionContext) -> StreamKeyActionResult:
    """Give what an act has made of the ring, as it is answered and printed."""
    return StreamKeyActionResult(
        **msgspec.structs.asdict(moved.key),
        also_changed=list(moved.others),
        unnamed_mints=UNSET if moved.unnamed_mints is None else moved.unnamed_mints,
        warning=moved.warning or UNSET,
        dry_run=context.dry_run or UNSET,
    )


def _answer(moved: RotationResult, context: ActionContext) -> Reply:
    return json_response(action_result(moved, context))
