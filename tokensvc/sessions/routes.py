"""Routes `DELETE /v1/sessions/current` and `/v1/me/sessions…`."""

import re

import msgspec
from flask import Blueprint

from tokensvc.core.callers import SignedIn, require_session
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.parameters import PageQuery, page_of
from tokensvc.http.respond import Response, json_response
from tokensvc.sessions.rules import Family
from tokensvc.sessions.service import Sessions

_SESSION_ID = re.compile(r"[0-9a-f]{32}")
"""Form of an ID. PostgreSQL refuses some other texts, for example those with a NUL."""


class Session(msgspec.Struct, frozen=True):
    """
    An open session of the signed-in user.

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


class SignOutQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Query of a sign-out.

    Attributes:
        renew: Whether to renew the user's Stream tokens; `None`: as the settings say.
    """

    renew: bool | None = None


def routes(sessions: Sessions, signed_in: SignedIn) -> Blueprint:
    """
    Return the routes of the signed-in user's sessions.

    Args:
        signed_in: Function that returns the signed-in user, or refuses.
    """
    blueprint = Blueprint("own_sessions", __name__)

    @blueprint.delete("/v1/sessions/current")
    def sign_out() -> Response:
        query = parse_query(SignOutQuery)
        caller = signed_in()
        sessions.end(caller.user_id, require_session(caller).id, renews=query.renew)
        return Response(204)

    @blueprint.get("/v1/me/sessions")
    def get_sessions() -> Response:
        query = parse_query(PageQuery)
        caller = signed_in()
        current = require_session(caller).id
        found = sessions.page(
            caller.user_id, current=current, after=query.after, limit=query.limit + 1
        )
        listed = [_session(family, current) for family in found]
        return json_response(page_of(listed, query.limit, lambda session: session.id))

    @blueprint.delete("/v1/me/sessions/<session_id>")
    def end_session(session_id: str) -> Response:
        parse_query(NoParameters)
        caller = signed_in()
        renews = None if session_id == require_session(caller).id else True
        is_id = _SESSION_ID.fullmatch(session_id)
        if not is_id or not sessions.end(caller.user_id, session_id, renews=renews):
            raise Refusal(Code.NOT_FOUND, "The user has no open session with this ID.")
        return Response(204)

    return blueprint


def _session(family: Family, current: str) -> Session:
    return Session(
        id=family.id,
        client_id=family.client_id,
        created_at=int(family.created_at),
        last_used_at=int(family.last_used_at),
        current=family.id == current,
    )
