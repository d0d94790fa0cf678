"""
Refusals in another form than that of a problem: of OAuth routes, and of providers' events.

RFC 6749 section 5.2 has the form of the first. A refused event (400) has that of the specification
by which it was sent; all other refusals of events are problems.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec

from tokensvc.core import current_request
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.http.problems import REALM, Problems, status_of, waiting_fields
from tokensvc.http.respond import JSON, Response, encode_json, json_response

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
REVOCATION_PATH = "/oauth/revoke"
OAUTH_PATHS = frozenset({TOKEN_PATH, REVOCATION_PATH})
"""Paths whose refusals have the form of RFC 6749, also if the request does not reach the route."""

EVENTS_PATH: Final = re.compile(r"/v1/issuers/[^/]+/events")
FORM = "application/x-www-form-urlencoded"
SECURITY_EVENT = "application/secevent+jwt"
_LANGUAGE = (("Content-Language", "en"),)
"""Required with a description (RFC 8935 section 2.3)."""


class OAuthErrorResponse(msgspec.Struct, frozen=True):
    """
    Reason of a refused request of an OAuth client.

    Attributes:
        error: Machine-readable reason.
        error_description: Cause and next step, for developers. The text may change.
    """

    error: OAuthError
    error_description: str


_OAUTH_ERRORS: Mapping[Code, OAuthError] = {
    Code.MALFORMED_REQUEST: OAuthError.INVALID_REQUEST,
    Code.PAYLOAD_TOO_LARGE: OAuthError.INVALID_REQUEST,
    Code.CREDENTIALS_INVALID: OAuthError.INVALID_CLIENT,
    Code.CREDENTIALS_EXPIRED: OAuthError.INVALID_CLIENT,
    Code.RATE_LIMITED: OAuthError.TEMPORARILY_UNAVAILABLE,
    Code.TEMPORARILY_UNAVAILABLE: OAuthError.TEMPORARILY_UNAVAILABLE,
    Code.INTERNAL_ERROR: OAuthError.SERVER_ERROR,
}
"""Error of each code that an OAuth route can have; a refusal may name another one."""

_EXCLUDED = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
"""Characters that RFC 6749 excludes from a description."""


class OAuthErrors(Problems):
    """Writer of the refusals of OAuth routes. A path that does not exist gets a problem."""

    def from_refusal(self, refusal: Refusal, request_id: str) -> Response:
        """Return the public part of a refusal."""
        error = refusal.oauth_error or _OAUTH_ERRORS.get(refusal.code)
        if error is None:
            return super().from_refusal(refusal, request_id)
        description = _EXCLUDED.sub("?", refusal.detail.replace('"', "'"))
        body = OAuthErrorResponse(error, description)
        status = _status(error, refusal)
        headers = waiting_fields(refusal, status)
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'))
        return Response(status, encode_json(body), JSON, headers)

    def internal_error(self, request_id: str) -> Response:
        """Return the refusal for an unexpected exception, without any detail of it."""
        detail = "Internal error. Retry; if it persists, report `X-Request-Id`."
        return self.from_refusal(Refusal(Code.INTERNAL_ERROR, detail), request_id)


def _status(error: OAuthError, refusal: Refusal) -> int:
    """Return 401 only for a client that has used `Authorization` (RFC 6749 section 5.2)."""
    has_used_it = bool(current_request.get().environ.get("HTTP_AUTHORIZATION"))
    if error is OAuthError.INVALID_CLIENT and has_used_it:
        return HTTPStatus.UNAUTHORIZED
    status = status_of(refusal)
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNAUTHORIZED else status


class EventError(StrEnum):
    """Machine-readable reason why a security event token is refused (RFC 8935 section 2.4)."""

    INVALID_REQUEST = "invalid_request"
    """The token is malformed, expired, or no event about one user of this issuer."""
    INVALID_KEY = "invalid_key"
    """The token is not signed with a key and an algorithm of the issuer."""
    INVALID_ISSUER = "invalid_issuer"
    """The token's `iss` is not that of the issuer in the path."""
    INVALID_AUDIENCE = "invalid_audience"
    """The token's `aud` does not contain the audience of the issuer's events."""


class EventErrorResponse(msgspec.Struct, frozen=True):
    """
    Reason of a refused security event token.

    Attributes:
        err: Machine-readable reason.
        description: Cause and next step, for developers. The text may change.
    """

    err: EventError
    description: str


_EVENT_ERRORS = {
    "algorithm": EventError.INVALID_KEY,
    "signature": EventError.INVALID_KEY,
    "unknown issuer": EventError.INVALID_ISSUER,
    "audience": EventError.INVALID_AUDIENCE,
}
"""Errors by the reason of the refusal."""


class EventErrors(Problems):
    """Writer of the refusals of events."""

    def from_refusal(self, refusal: Refusal, request_id: str) -> Response:
        """Return the public part of a refusal."""
        if status_of(refusal) != HTTPStatus.BAD_REQUEST:
            return super().from_refusal(refusal, request_id)
        match media_type():
            case "application/x-www-form-urlencoded":
                logout = OAuthErrorResponse(OAuthError.INVALID_REQUEST, refusal.detail)
                return json_response(logout, HTTPStatus.BAD_REQUEST)
            case "application/secevent+jwt":
                error = _EVENT_ERRORS.get(refusal.reason, EventError.INVALID_REQUEST)
                event = EventErrorResponse(error, refusal.detail)
                return json_response(event, HTTPStatus.BAD_REQUEST, _LANGUAGE)
        return super().from_refusal(refusal, request_id)


def media_type() -> str:
    """Return the media type of the current request's body, without parameters."""
    content_type: str = current_request.get().environ.get("CONTENT_TYPE", "")
    return content_type.partition(";")[0].strip().lower()
