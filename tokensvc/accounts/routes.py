"""`/v1/accounts…`, `/v1/invitations`, and the own account at `/v1/me`: parse, call, render."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from flask import Blueprint

from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.service import Accounts, SignUpRequest
from tokensvc.core import user_ids
from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import Authorize, SignedIn, require_scope, require_session
from tokensvc.core.current_request import log_fields
from tokensvc.core.scopes import Scope
from tokensvc.core.user_ids import Alphabet
from tokensvc.http.body import parse_body, parse_query
from tokensvc.http.parameters import ActionRequest, DeleteQuery
from tokensvc.http.respond import Response, json_response
from tokensvc.limits.rules import Policy
from tokensvc.stream.delivery.service import Deliveries

PATH = "/v1/accounts"

CountAddress: TypeAlias = Callable[[Policy], None]
"""Counts a request of the client's address under a policy; raises `rate_limited` beyond it."""


class InvitationRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A new invitation.

    Attributes:
        user_id: The only user ID that the invitation is for; `null` for any.
    """

    user_id: str | None = None


class ResetPasswordRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A new password with a reset code.

    Attributes:
        code: Reset code from the app.
        new_password: New password, 15 (`accounts.min_password`) to 256 characters.
    """

    code: str
    new_password: str

    def __repr__(self) -> str:
        """Leave out the secrets."""
        return f"{type(self).__name__}()"


class ChangeMeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Change of the signed-in user's profile.

    Attributes:
        user: User object with `id` and the members to change; `null` removes a member. It is
            checked like `user` at `/v1/token`.
    """

    user: dict[str, Any]


class EraseQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Query of the deletion of one's own account.

    Attributes:
        erase: Whether to erase the user; `None`: as the settings say.
    """

    erase: bool | None = None


class DeleteAccountQuery(DeleteQuery, frozen=True, forbid_unknown_fields=True):
    """
    Query of the deletion of an account.

    Attributes:
        erase: Whether to erase the user; `None`: as the settings say.
    """

    erase: bool | None = None


@dataclass(frozen=True, slots=True)
class AccountRoutes:
    """
    The routes of built-in accounts.

    Attributes:
        authorize: Function that returns the calling service if it has a scope, else refuses.
        signed_in: Function that returns the signed-in user, else refuses.
        count_address: Function that counts a request of the client's address.
    """

    accounts: Accounts
    codes: AccountCodes
    deliveries: Deliveries
    alphabet: Alphabet
    authorize: Authorize
    signed_in: SignedIn
    count_address: CountAddress

    def blueprints(self) -> Sequence[Blueprint]:
        """Return the blueprints."""
        return [self._user_routes(), self._service_routes(), self._own_routes()]

    def _user_routes(self) -> Blueprint:
        """Return the routes of users who are not signed in."""
        blueprint = Blueprint("accounts", __name__)

        @blueprint.post(PATH)
        def sign_up() -> Response:
            wanted = parse_body(SignUpRequest)
            created = self.accounts.sign_up(wanted, lambda: self.count_address("sign_up"))
            log_fields(user_id=created.user_id)
            return json_response(created, 201, [_location(created.user_id)])

        @blueprint.post(f"{PATH}/<user_id>/password")
        def reset_password(user_id: str) -> Response:
            body = parse_body(ResetPasswordRequest)
            user_ids.check(user_id, self.alphabet)
            self.codes.reset_password(
                user_id, body.code, body.new_password, lambda: self.count_address("codes")
            )
            log_fields(user_id=user_id)
            return Response(204)

        return blueprint

    def _service_routes(self) -> Blueprint:
        """Return the routes of the app's backend."""
        blueprint = Blueprint("account_actions", __name__)

        def context_of(
            user_id: str | None,
            reason: str | None,
            *,
            gives_session: bool = False,
            erases: bool = False,
        ) -> ActionContext:
            service = self.authorize(Scope.ACCOUNTS_WRITE)
            if erases:
                require_scope(service, Scope.USERS_ERASE, "An erasure of a user")
            if gives_session:
                require_scope(service, Scope.TOKENS_MINT, "A code that opens a user's session")
            if user_id is not None:
                log_fields(user_id=user_ids.check(user_id, self.alphabet))
            return ActionContext(service.client_id, reason)

        @blueprint.post("/v1/invitations")
        def invite() -> Response:
            body = parse_body(InvitationRequest)
            names_user = body.user_id is not None
            context = context_of(body.user_id, body.reason, gives_session=names_user)
            created = self.codes.invite(body.user_id, context)
            # An invitation has no route of its own: it is used at this one.
            return json_response(created, 201, [("Location", PATH)])

        @blueprint.post(f"{PATH}/<user_id>/reset-codes")
        def create_reset_code(user_id: str) -> Response:
            reason = parse_body(ActionRequest).reason
            context = context_of(user_id, reason, gives_session=True)
            created = self.codes.create_reset_code(user_id, context)
            return json_response(created, 201, [_location(user_id)])

        @blueprint.delete(f"{PATH}/<user_id>/lock")
        def unlock(user_id: str) -> Response:
            context = context_of(user_id, parse_query(DeleteQuery).reason)
            self.accounts.unlock(user_id, context)
            return Response(204)

        @blueprint.delete(f"{PATH}/<user_id>")
        def delete_account(user_id: str) -> Response:
            query = parse_query(DeleteAccountQuery)
            context = context_of(user_id, query.reason, erases=query.erase is True)
            self.accounts.delete(user_id, context, erases=query.erase)
            return Response(204)

        return blueprint

    def _own_routes(self) -> Blueprint:
        """Return the routes of a signed-in user's own account."""
        blueprint = Blueprint("own_account", __name__, url_prefix="/v1/me")

        @blueprint.patch("")
        def change_me() -> Response:
            body = parse_body(ChangeMeRequest)
            caller = self.signed_in()
            require_session(caller)
            return json_response(self.deliveries.change_own_profile(caller.user_id, body.user))

        @blueprint.delete("")
        def delete_me() -> Response:
            query = parse_query(EraseQuery)
            caller = self.signed_in()
            require_session(caller)
            self.accounts.delete_own(caller.user_id, caller.signed_in_at, erases=query.erase)
            return Response(204)

        return blueprint


def _location(user_id: str) -> tuple[str, str]:
    return "Location", f"{PATH}/{user_id}"
