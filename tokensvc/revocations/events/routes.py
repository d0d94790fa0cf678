"""Route `POST /v1/issuers/{name}/events`, to which identity providers send events."""

from collections.abc import Callable

import msgspec
from flask import Blueprint

from tokensvc.core import current_request
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, Refusal, malformed
from tokensvc.http.body import check_no_query
from tokensvc.http.form import parse_form
from tokensvc.http.protocol_errors import FORM, SECURITY_EVENT, media_type
from tokensvc.http.respond import Response
from tokensvc.issuers.events import EventForm
from tokensvc.issuers.service import Issuers
from tokensvc.revocations.events.service import ProviderEvents


class LogoutForm(msgspec.Struct, frozen=True):
    """
    A logout at an identity provider (OpenID Connect Back-Channel Logout 1.0 section 2.5).

    Attributes:
        logout_token: Logout token, signed by the provider.
    """

    logout_token: str = ""

    def __repr__(self) -> str:
        """Leave out the token."""
        return "LogoutForm()"


def routes(
    issuers: Issuers, events: ProviderEvents, count_failure: Callable[[], None]
) -> Blueprint:
    """
    Return the route of providers' events.

    Args:
        count_failure: Function that counts a failure of the client's address, and may refuse the
            request.
    """
    blueprint = Blueprint("provider_events", __name__)

    @blueprint.post("/v1/issuers/<name>/events")
    def post_event(name: str) -> Response:
        form, unverified_token = _unverified_event()
        try:
            event = issuers.event(name, form, unverified_token)
        except Refusal as refusal:
            if refusal.code is Code.TEMPORARILY_UNAVAILABLE:
                count_failure()  # anyone can name a key that may be new
            raise
        is_new = False
        if event is not None:
            log_fields(user_id=event.user_id, provider_event=event.name)
            is_new = events.apply(event)
        if form is EventForm.SECURITY_EVENT:
            return Response(202)  # also for a repetition: the sender has missed the first response
        if not is_new:
            raise malformed("This logout token was used before.")
        return Response(200)

    return blueprint


def _unverified_event() -> tuple[EventForm, str]:
    """Return the form of the event in the body, and its unverified token."""
    request = current_request.get()
    match media_type():
        case "application/x-www-form-urlencoded":
            return EventForm.LOGOUT, parse_form(LogoutForm).logout_token
        case "application/secevent+jwt":
            check_no_query()
            return EventForm.SECURITY_EVENT, request.body.decode("ascii", "replace")
    raise Refusal(
        Code.UNSUPPORTED_MEDIA_TYPE,
        f"Send a logout token as {FORM}, or a security event token as {SECURITY_EVENT}.",
    )
