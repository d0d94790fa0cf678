"""
Refusals: the reasons for which a request fails.

Any code may raise one; only `tokensvc.http.problems` turns it into HTTP.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Machine-readable reason of a refusal (`code` of an RFC 9457 problem)."""

    MALFORMED_REQUEST = "malformed_request"
    """The request cannot be parsed. Change it as `detail` says."""
    API_KEY_UNKNOWN = "api_key_unknown"
    """The Stream API key is not in use. Build the Stream client with a key that is."""
    API_KEY_REQUIRED = "api_key_required"
    """Send `api_key`, the key that the Stream client was built with."""
    CODE_INVALID = "code_invalid"
    """The reset code is wrong, used, expired or of another user. Request a new one."""
    CREDENTIALS_MISSING = "credentials_missing"
    """Send a credential in `Authorization`."""
    CREDENTIALS_INVALID = "credentials_invalid"
    """The credential is not valid. Send another one."""
    CREDENTIALS_EXPIRED = "credentials_expired"
    """Renew the user's token, or use the service's newer secret. Then retry."""
    SIGN_IN_REQUIRED = "sign_in_required"
    """The sign-in is older than a revocation. Sign the user in again."""
    USER_SUSPENDED = "user_suspended"
    """Sign the user out. Do not retry."""
    USER_ERASED = "user_erased"
    """The user was erased, and the ID is refused permanently. Sign the user out. Do not retry."""
    USER_ID_MISMATCH = "user_id_mismatch"
    """Request a token only for the user of the credential."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """Grant the service client the scope that `detail` names."""
    SIGN_UP_CLOSED = "sign_up_closed"
    """Users cannot sign up by themselves. `detail` says who can create accounts."""
    INVITATION_INVALID = "invitation_invalid"
    """The invitation is missing, used, expired or for another user. Ask for a new one."""
    CONFLICT = "conflict"
    """The current state does not allow the action. `detail` says what to do first."""
    SUPERSEDED = "superseded"
    """A later revocation is in effect. Undo that one first; the state names it."""
    USER_ID_TAKEN = "user_id_taken"
    """The user ID belongs to a user, or belonged to one. Sign up with another ID."""
    NOT_FOUND = "not_found"
    """The path or the resource does not exist, or is not visible to the caller."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    """Use a method that `Allow` lists."""
    NOT_ACCEPTABLE = "not_acceptable"
    """Accept `application/json` or `text/plain`."""
    PAYLOAD_TOO_LARGE = "payload_too_large"
    """Send at most 16 KiB."""
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    """Send JSON in UTF-8 with `Content-Type: application/json`."""
    USER_ID_INVALID = "user_id_invalid"
    """Stream does not accept the user ID. `detail` has the rule."""
    USER_INVALID = "user_invalid"
    """Stream does not accept the user object. `detail` has the reason."""
    PASSWORD_REJECTED = "password_rejected"  # noqa: S105 - the name of a code
    """The new password is common or not usable. `reasons` and `detail` say why."""
    STREAM_KEY_INVALID = "stream_key_invalid"
    """The Stream key cannot be used and was not stored. `detail` has the reason."""
    RATE_LIMITED = "rate_limited"
    """Wait for `Retry-After` seconds. Keep a token until shortly before it expires."""
    INTERNAL_ERROR = "internal_error"
    """Internal error. Report `request_id`."""
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    """Wait for `Retry-After` seconds, then retry."""


class OAuthError(StrEnum):
    """Machine-readable reason of a refusal of an OAuth route (RFC 6749 section 5.2)."""

    INVALID_REQUEST = "invalid_request"
    """The request cannot be parsed. Change it as `error_description` says."""
    INVALID_CLIENT = "invalid_client"
    """
    The client's ID or secret is not valid: 401 after `Authorization`, 400 after credentials in the
    body.
    """
    INVALID_GRANT = "invalid_grant"
    """The refresh token is not valid for this client, or its session has ended. Sign in again."""
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    """The grant type is not one of `grant_types_supported` of the metadata."""
    INVALID_SCOPE = "invalid_scope"
    """The client does not have a scope that it requested."""
    UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type"  # noqa: S105 - a code, not a token
    """The token belongs to a service, and ends with its secret (RFC 7009 section 2.2.1)."""
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    """Wait for `Retry-After` seconds, then retry. Also the response beyond a rate limit."""
    SERVER_ERROR = "server_error"
    """Internal error. Retry; if it persists, report `X-Request-Id`."""


class Refusal(Exception):
    """
    A request is refused.

    Args:
        code: Machine-readable reason.
        detail: Text for the caller: what is wrong and what to do next. Public, without internals.
        reason: Text for the log only.
        members: Further members of the problem body.
        retry_after: Seconds after which the same request may succeed.
        max_age: Maximum seconds since the sign-in, for the challenge (RFC 9470 section 3).
        status: HTTP status, if it differs from the usual one of the code.
        owner: Key of the user or client whose genuine credential is refused, for rate limits.
        oauth_error: Error code of OAuth routes, if it does not follow from `code`.
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
        owner: str | None = None,
        oauth_error: OAuthError | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.reason = reason
        self.members: Mapping[str, Any] = members or {}
        self.retry_after = retry_after
        self.max_age = max_age
        self.status = status
        self.owner = owner
        self.oauth_error = oauth_error

    @property
    def operator_text(self) -> str:
        """Text for the command line. An outage's `detail` says nothing of the cause."""
        if self.code is Code.TEMPORARILY_UNAVAILABLE and self.reason:
            return self.reason
        return f"{self.detail} ({self.reason})" if self.reason else self.detail


class StartupError(Exception):
    """The process must not start; the message tells the operator what to change."""


def malformed(detail: str) -> Refusal:
    """Return the refusal of a request whose form is wrong."""
    return Refusal(Code.MALFORMED_REQUEST, detail)


def invalid_credential(detail: str, reason: str) -> Refusal:
    """Return the refusal of a credential that this service does not accept."""
    return Refusal(Code.CREDENTIALS_INVALID, detail, reason=reason)
