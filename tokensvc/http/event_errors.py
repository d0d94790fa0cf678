"""
Refusals of providers' events, in the form of the specification by which the event was sent.

Only a refused event (400) has such a form. All other refusals are problems.
"""

import re
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec

from tokensvc.core import current_request
from tokensvc.core.errors import OAuthError, Refusal
from tokensvc.http.oauth_errors import OAuthErrorResponse
from tokensvc.http.problems import Problems, status_of
from tokensvc.http.respond import Response, json_response

PATH: Final = re.compile(r"/v1/issuers/[^/]+/events")
FORM = "application/x-www-form-urlencoded"
SECURITY_EVENT = "application/secevent+jwt"
_LANGUAGE = (("Content-Language", "en"),)
"""Required with a description (RFC 8935 section 2.3)."""


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


_ERRORS = {
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
                error = _ERRORS.get(refusal.reason, EventError.INVALID_REQUEST)
                event = EventErrorResponse(error, refusal.detail)
                return json_response(event, HTTPStatus.BAD_REQUEST, _LANGUAGE)
        return super().from_refusal(refusal, request_id)


def media_type() -> str:
    """Return the media type of the current request's body, without parameters."""
    content_type: str = current_request.get().environ.get("CONTENT_TYPE", "")
    return content_type.partition(";")[0].strip().lower()
