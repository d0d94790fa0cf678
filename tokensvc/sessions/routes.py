"""Routes `/v1/sessions…`, `/v1/me/sessions…` and `POST /v1/me/password`."""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from flask import Blueprint

from tokensvc.core.callers import SignedIn, require_session
from tokensvc.core.errors import Code, Refusal
from tokensvc.http import current_request
from tokensvc.http.body import NO_NUL, NoParameters, parse_body, parse_query
from tokensvc.http.credentials import client_address
from tokensvc.http.paging import PageQuery, page_of
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.clients import DEFAULT_CLIENT_ID, PUBLIC_ID
from tokensvc.sessions.rules import Family
from tokensvc.sessions.service import Sessions
from tokensvc.sessions.sign_in import PasswordSessions

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=NO_NUL)]
# A newline at the end would match `$` alone.
ClientId = Annotated[str, msgspec.Meta(pattern=rf"^{PUBLIC_ID}(?!\n)$")]
_SESSION_ID = re.compile(r"[0-9a-f]{32}")
"""Form of an ID. PostgreSQL refuses some other texts, for example those with a NUL."""


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


class Session(msgspec.Struct, frozen=True):
    """
    A live session of the signed-in user.

    Attributes:
        id: ID of the session.
        client_id: OAuth client that signed in.
        created_at: Time of the sign-in, in epoch seconds.
        last_used_at: Time of the sign-in or of the last refresh, in epoch seconds. For the current
            session the minute of the request, so that it does not show when the session is
            refreshed.
        current: Whether it is the session of the request.
    """

    id: str
    client_id: str
    created_at: int
    last_used_at: int
    current: bool


def routes(
    sessions: Sessions, password_sessions: PasswordSessions, signed_in: SignedIn
) -> Sequence[Blueprint]:
    """
    Return the routes of sessions.

    Args:
        signed_in: Function that returns the signed-in user, or refuses.
    """
    return [
        _sign_in_routes(sessions, password_sessions, signed_in),
        _own_session_routes(sessions, signed_in),
        _password_routes(password_sessions, signed_in),
    ]


def _sign_in_routes(
    sessions: Sessions, password_sessions: PasswordSessions, signed_in: SignedIn
) -> Blueprint:
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

    @blueprint.delete("/v1/sessions/current")
    def sign_out() -> Response:
        parse_query(NoParameters)
        caller = signed_in()
        sessions.end(caller.user_id, require_session(caller).id)
        return Response(204)

    return blueprint


def _own_session_routes(sessions: Sessions, signed_in: SignedIn) -> Blueprint:
    blueprint = Blueprint("own_sessions", __name__, url_prefix="/v1/me/sessions")

    @blueprint.get("")
    def get_sessions() -> Response:
        query = parse_query(PageQuery)
        caller = signed_in()
        current = require_session(caller).id
        found = sessions.page(
            caller.user_id, current=current, after=query.after, limit=query.limit + 1
        )
        listed = [_session(family, current) for family in found]
        return json_response(page_of(listed, query.limit, lambda session: session.id))

    @blueprint.delete("/<session_id>")
    def end_session(session_id: str) -> Response:
        parse_query(NoParameters)
        caller = signed_in()
        require_session(caller)
        is_id = _SESSION_ID.fullmatch(session_id)
        if not is_id or not sessions.end(caller.user_id, session_id):
            raise Refusal(Code.NOT_FOUND, "The user has no live session with this ID.")
        return Response(204)

    return blueprint


def _password_routes(password_sessions: PasswordSessions, signed_in: SignedIn) -> Blueprint:
    blueprint = Blueprint("own_password", __name__)

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


def _session(family: Family, current: str) -> Session:
    return Session(
        id=family.id,
        client_id=family.client_id,
        created_at=int(family.created_at),
        last_used_at=int(family.last_used_at),
        current=family.id == current,
    )
