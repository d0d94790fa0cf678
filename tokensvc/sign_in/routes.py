"""Routes `POST /v1/sessions` and `POST /v1/me/password`: parse, call, render."""

from typing import Annotated

import msgspec
from flask import Blueprint

from tokensvc.core import current_request
from tokensvc.core.callers import SignedIn, require_session
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.body import NO_NUL, parse_body
from tokensvc.http.credentials import client_address
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.client_ids import DEFAULT_CLIENT_ID, PUBLIC_ID
from tokensvc.sign_in.service import PasswordSessions

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=NO_NUL)]
# A newline at the end would match `$` alone.
ClientId = Annotated[str, msgspec.Meta(pattern=rf"^{PUBLIC_ID}(?!\n)$")]


class SignInRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Body of a sign-in.

    Attributes:
        user_id: ID of the user on Stream.
        password: Password of the account.
        client_id: OAuth client of the app. The session is bound to it.
    """

    user_id: UserId
    password: str
    client_id: ClientId = DEFAULT_CLIENT_ID

    def __repr__(self) -> str:
        """Leave out the password, and the ID, for which a user can mistake it."""
        return f"{type(self).__name__}(client_id={self.client_id!r})"


class PasswordChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Body of a change of the password.

    Attributes:
        current_password: Password of the account.
        new_password: Password that replaces it.
    """

    current_password: str
    new_password: str

    def __repr__(self) -> str:
        """Leave out the passwords."""
        return f"{type(self).__name__}()"


def routes(password_sessions: PasswordSessions, signed_in: SignedIn) -> Blueprint:
    """
    Return the routes whose request has a password.

    Args:
        signed_in: Function that returns the signed-in user, or refuses.
    """
    blueprint = Blueprint("sign_in", __name__)

    @blueprint.post("/v1/sessions")
    def sign_in() -> Response:
        _check_no_authorization()
        body = parse_body(SignInRequest)
        return json_response(
            password_sessions.sign_in(
                body.user_id, body.password, client_id=body.client_id, address=client_address()
            )
        )

    @blueprint.post("/v1/me/password")
    def change_password() -> Response:
        body = parse_body(PasswordChangeRequest)
        caller = signed_in()
        session = require_session(caller)
        return json_response(
            password_sessions.change_password(
                caller.user_id,
                body.current_password,
                body.new_password,
                client_id=session.client_id,
                address=client_address(),
            )
        )

    return blueprint


def _check_no_authorization() -> None:
    """
    Refuse a second credential next to the password.

    Raises:
        Refusal: `malformed_request`.
    """
    if current_request.get().environ.get("HTTP_AUTHORIZATION"):
        raise Refusal(
            Code.MALFORMED_REQUEST, "Send a password or `Authorization`, not two credentials."
        )
