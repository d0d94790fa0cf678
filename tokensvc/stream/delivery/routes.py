"""`PUT /v1/users/{user_id}/profile`: parse, call, render."""

from flask import Blueprint

from tokensvc.core import stream_user, user_ids
from tokensvc.core.callers import Authorize
from tokensvc.core.current_request import log_fields
from tokensvc.core.scopes import Scope
from tokensvc.core.user_ids import Alphabet
from tokensvc.http.body import parse_object
from tokensvc.http.respond import Response, json_response
from tokensvc.stream.delivery.service import Deliveries


def routes(deliveries: Deliveries, alphabet: Alphabet, authorize: Authorize) -> Blueprint:
    """
    Return the route of profiles.

    Args:
        authorize: Function that returns the calling service if it has a scope, else refuses.
    """
    blueprint = Blueprint("profiles", __name__)

    @blueprint.put("/v1/users/<user_id>/profile")
    def put_profile(user_id: str) -> Response:
        user = parse_object()
        service = authorize(Scope.USERS_WRITE)
        stream_user.check_role_scope(user, service.scopes)
        log_fields(user_id=user_ids.check(user_id, alphabet))
        return json_response(deliveries.set_profile(user_id, user, service.client_id))

    return blueprint
