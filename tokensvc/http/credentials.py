"""
The unverified credential of the current request, and its client's address.

Sources: RFC 6750 (Bearer), RFC 7617 (Basic), RFC 6749 section 2.3.1 (OAuth clients), RFC 9700
section 4.3.2 (never in a query).
"""

import base64
import binascii
from urllib.parse import unquote_plus

from tokensvc.core import current_request
from tokensvc.core.addresses import rate_limit_key
from tokensvc.core.callers import BasicCredential, BearerCredential, Credential
from tokensvc.core.errors import Code, Refusal

_IN_QUERY = frozenset(
    {
        "access_token",
        "api_secret",
        "assertion",
        "authorization",
        "client_secret",
        "code",
        "id_token",
        "jwt",
        "password",
        "refresh_token",
        "secret",
        "token",
    }
)


def unverified_credential() -> Credential:
    """
    Return the only credential of the request.

    Raises:
        Refusal: `malformed_request` for two credentials or one in the query; `credentials_missing`;
            `credentials_invalid` if it cannot be parsed.
    """
    query = current_request.get().environ.get("QUERY_STRING", "")
    if query:
        check_query(query)
    scheme, value = _authorization()
    if not value:
        raise Refusal(
            Code.CREDENTIALS_MISSING,
            "Send `Authorization: Bearer` with the user's token, or a service's "
            "client ID and secret as `Authorization: Basic`.",
        )
    match scheme:
        case "bearer":
            return BearerCredential(value)
        case "basic":
            return _basic(value)
    raise Refusal(
        Code.CREDENTIALS_INVALID, "The scheme of `Authorization` must be Bearer or Basic."
    )


def unverified_client(client_id: str, secret: str) -> BasicCredential | None:
    """
    Return the credential of an OAuth client (RFC 6749 section 2.3.1); `None` if it sent none.

    Args:
        client_id: `client_id` in the body, "" if absent.
        secret: `client_secret` in the body, "" if absent.

    Raises:
        Refusal: `malformed_request` for two credentials; `credentials_invalid` if it cannot be
            parsed.
    """
    scheme, value = _authorization()
    if not value:
        if not secret:
            return None
        if not client_id:
            raise Refusal(Code.MALFORMED_REQUEST, "Send `client_id` with `client_secret`.")
        return BasicCredential(client_id, secret)
    if secret:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "Send the client's secret in `Authorization: Basic` or in the body, not in both.",
        )
    if scheme != "basic":
        raise Refusal(
            Code.CREDENTIALS_INVALID, "A client sends its ID and secret as `Authorization: Basic`."
        )
    sent = _basic(value)
    # Not every client encodes. That matters only for a secret that an operator chose.
    decoded = unquote_plus(sent.secret)
    credential = BasicCredential(
        unquote_plus(sent.client_id), sent.secret, decoded if decoded != sent.secret else None
    )
    if client_id not in {"", credential.client_id}:
        raise Refusal(
            Code.MALFORMED_REQUEST, "`client_id` is not the client of `Authorization: Basic`."
        )
    return credential


def client_address() -> str:
    """Return the client's address behind trusted proxies, for limits: IPv6 as its /64."""
    return rate_limit_key(current_request.get().client_address)


def _authorization() -> tuple[str, str]:
    """
    Return the scheme of `Authorization` in lower case, and its value; empty without the field.

    Raises:
        Refusal: `malformed_request` for two credentials.
    """
    authorization = current_request.get().environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if "," in value:
        # The server joins repeated fields with commas, which no credential contains.
        raise Refusal(Code.MALFORMED_REQUEST, "Send one credential, not two.")
    return scheme.lower(), value


def _basic(value: str) -> BasicCredential:
    try:
        client_id, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise Refusal(
            Code.CREDENTIALS_INVALID,
            "`Authorization: Basic` must contain client_id:client_secret in base64.",
        )
    return BasicCredential(client_id, secret)


def check_query(query: str) -> None:
    """
    Refuse a query that contains a credential.

    Raises:
        Refusal: `malformed_request`.
    """
    names = {unquote_plus(pair.partition("=")[0]).lower() for pair in query.split("&")}
    if not _IN_QUERY.isdisjoint(names):
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "Logs contain queries: send a credential only in `Authorization`, and treat this "
            "one as leaked.",
        )
