"""Routes `/v1/users…`, `/v1/app…` and `POST /v1/me/revocations`."""

from collections.abc import Sequence

from flask import Blueprint

from tokensvc.core import user_ids
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.callers import Authorize, SignedIn
from tokensvc.core.current_request import log_fields
from tokensvc.core.scopes import Scope
from tokensvc.core.user_ids import Alphabet
from tokensvc.http.body import NoParameters, parse_both, parse_query
from tokensvc.http.parameters import (
    ActionQuery,
    ActionRequest,
    PageQuery,
    Reason,
    page_of,
    preferred_wait,
)
from tokensvc.http.respond import Response, json_response
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State, action_result


class DeleteActionQuery(ActionQuery, frozen=True, forbid_unknown_fields=True):
    """Query of an action with DELETE, which has no body: the reason is here."""

    reason: Reason | None = None


class UsersQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """Query of the list of users."""

    suspended: bool | None = None


def routes(
    revocations: Revocations,
    erasures: Erasures,
    alphabet: Alphabet,
    authorize: Authorize,
    signed_in: SignedIn,
) -> Sequence[Blueprint]:
    """
    Return the routes of revocations and states.

    Args:
        alphabet: Characters that a user ID may have.
        authorize: Function that returns the service client that has a scope, or refuses.
        signed_in: Function that returns the signed-in user, or refuses.
    """
    return [
        _state_routes(revocations, alphabet, authorize),
        _user_revocations(revocations, alphabet, authorize),
        _erasures(erasures, alphabet, authorize),
        _app_revocations(revocations, authorize),
        _own_revocations(revocations, signed_in),
    ]


def _state_routes(revocations: Revocations, alphabet: Alphabet, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("standings", __name__)

    @blueprint.get("/v1/users")
    def get_users() -> Response:
        query = parse_query(UsersQuery)
        authorize(Scope.USERS_READ)
        found = revocations.users(
            suspended=query.suspended, after=query.after, limit=query.limit + 1
        )
        return json_response(page_of(found, query.limit, lambda state: state.user_id))

    @blueprint.get("/v1/users/<user_id>")
    def get_user(user_id: str) -> Response:
        parse_query(NoParameters)
        authorize(Scope.USERS_READ)
        target = Target(user_ids.check(user_id, alphabet))
        return json_response(revocations.state(target))

    @blueprint.get("/v1/app")
    def get_app() -> Response:
        parse_query(NoParameters)
        authorize(Scope.USERS_READ)
        return json_response(revocations.state(APP))

    return blueprint


def _user_revocations(
    revocations: Revocations, alphabet: Alphabet, authorize: Authorize
) -> Blueprint:
    blueprint = Blueprint("revocations", __name__, url_prefix="/v1/users")

    def context_of(user_id: str, query: ActionQuery, reason: str | None) -> ActionContext:
        service = authorize(Scope.REVOCATIONS_WRITE)
        log_fields(user_id=user_ids.check(user_id, alphabet))
        return ActionContext(service.client_id, reason, query.dry_run)

    @blueprint.post("/<user_id>/revocations")
    def revoke_user(user_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(user_id, query, body.reason)
        target = Target(user_id)
        return _respond(revocations, target, revocations.revoke(target, context), context)

    @blueprint.post("/<user_id>/renewals")
    def renew_user(user_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(user_id, query, body.reason)
        state = revocations.renew(user_id, context)
        return _respond(revocations, Target(user_id), state, context)

    @blueprint.delete("/<user_id>/revocations/<revocation_id>")
    def undo_revocation(user_id: str, revocation_id: str) -> Response:
        query = parse_query(DeleteActionQuery)
        context = context_of(user_id, query, query.reason)
        target = Target(user_id)
        state = revocations.undo(target, revocation_id, context)
        return _respond(revocations, target, state, context, is_undo=True)

    @blueprint.put("/<user_id>/suspension")
    def suspend(user_id: str) -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        context = context_of(user_id, query, body.reason)
        state = revocations.suspend(user_id, context)
        return _respond(revocations, Target(user_id), state, context)

    @blueprint.delete("/<user_id>/suspension")
    def reinstate(user_id: str) -> Response:
        query = parse_query(DeleteActionQuery)
        context = context_of(user_id, query, query.reason)
        state = revocations.reinstate(user_id, context)
        return _respond(revocations, Target(user_id), state, context)

    return blueprint


def _erasures(erasures: Erasures, alphabet: Alphabet, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("erasures", __name__)

    @blueprint.delete("/v1/users/<user_id>")
    def erase(user_id: str) -> Response:
        query = parse_query(DeleteActionQuery)
        service = authorize(Scope.USERS_ERASE)
        log_fields(user_id=user_ids.check(user_id, alphabet))
        context = ActionContext(service.client_id, query.reason, query.dry_run)
        return json_response(erasures.erase(user_id, context))

    return blueprint


def _app_revocations(revocations: Revocations, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("app", __name__, url_prefix="/v1/app")

    @blueprint.post("/revocations")
    def revoke_app() -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        service = authorize(Scope.APP_WRITE)
        context = ActionContext(service.client_id, body.reason, query.dry_run)
        return _respond(revocations, APP, revocations.revoke(APP, context), context)

    @blueprint.delete("/revocations/<revocation_id>")
    def undo_revocation(revocation_id: str) -> Response:
        query = parse_query(DeleteActionQuery)
        service = authorize(Scope.APP_WRITE)
        context = ActionContext(service.client_id, query.reason, query.dry_run)
        state = revocations.undo(APP, revocation_id, context)
        return _respond(revocations, APP, state, context, is_undo=True)

    return blueprint


def _own_revocations(revocations: Revocations, signed_in: SignedIn) -> Blueprint:
    blueprint = Blueprint("own_revocations", __name__)

    @blueprint.post("/v1/me/revocations")
    def revoke_own() -> Response:
        query, body = parse_both(ActionQuery, ActionRequest)
        user_id = signed_in().user_id
        context = ActionContext(user_id, body.reason, query.dry_run)
        target = Target(user_id)
        return _respond(revocations, target, revocations.revoke(target, context), context)

    return blueprint


def _respond(
    revocations: Revocations,
    target: Target,
    state: State,
    context: ActionContext,
    *,
    is_undo: bool = False,
) -> Response:
    headers = []
    wait = preferred_wait()
    waited = revocations.wait_until_applied(target, wait) if wait and not context.dry_run else None
    if waited is not None:
        state = waited
        headers.append(("Preference-Applied", f"wait={wait}"))
    holds_until = revocations.holds_until(state)
    result = action_result(state, holds_until, dry_run=context.dry_run, is_undo=is_undo)
    return json_response(result, headers=headers)
