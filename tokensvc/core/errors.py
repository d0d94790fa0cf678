"""
Refusals: why a request gets no token.

Raised anywhere; `tokensvc.http.problems` is the only place that turns one into HTTP.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """The machine-readable reason of a refusal, the `code` member of a problem (RFC 9457)."""

    MALFORMED_REQUEST = "malformed_request"
    API_KEY_UNKNOWN = "api_key_unknown"
    API_KEY_REQUIRED = "api_key_required"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_INVALID = "credentials_invalid"
    CREDENTIALS_EXPIRED = "credentials_expired"
    SIGN_IN_REQUIRED = "sign_in_required"
    USER_SUSPENDED = "user_suspended"
    USER_ID_MISMATCH = "user_id_mismatch"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    USER_ID_INVALID = "user_id_invalid"
    USER_INVALID = "user_invalid"
    STREAM_KEY_INVALID = "stream_key_invalid"
    RATE_LIMITED = "rate_limited"
    INTERNAL_ERROR = "internal_error"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


class Refusal(Exception):
    """
    A request is refused for a reason that the caller may know.

    Args:
        code: What happened, for machines.
        detail: What happened and what to do next, for people. Public: no internals, no secret.
        reason: What only the log may say.
        members: Further members of the problem body.
        retry_after: Seconds after which the same request may succeed.
        max_age: Seconds since the sign-in that a step-up challenge asks for (RFC 9470 section 3).
        status: The HTTP status, where it is not the one that the code usually has.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        reason: str = "",
        members: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
        max_age: int | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.reason = reason
        self.members: Mapping[str, Any] = members or {}
        self.retry_after = retry_after
        self.max_age = max_age
        self.status = status


class StartupError(Exception):
    """The process must not start; the text tells the operator what to change."""
