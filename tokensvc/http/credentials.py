"""
The unverified credential of the current request, and its client's address.

Sources: RFC 6750 (Bearer), RFC 7617 (Basic), RFC 9700 section 4.3.2 (never in a query).
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote_plus

from tokensvc.core.errors import Code, Refusal
from tokensvc.http import current_request, proxies

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


@dataclass(frozen=True, slots=True)
class BearerCredential:
    """An unverified token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BasicCredential:
    """An unverified client ID and secret."""

    client_id: str
    secret: str = field(repr=False)


Credential: TypeAlias = BearerCredential | BasicCredential


def unverified_credential() -> Credential:
    """
    Return the only credential of the request.

    Raises:
        Refusal: `malformed_request` for two credentials or one in the query; `credentials_missing`;
            `credentials_invalid` if it cannot be parsed.
    """
    environ = current_request.get().environ
    query = environ.get("QUERY_STRING", "")
    if query:
        check_query(query)
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if not value:
        raise Refusal(
            Code.CREDENTIALS_MISSING,
            "Send `Authorization: Bearer` with the user's token, or a service's "
            "client ID and secret as `Authorization: Basic`.",
        )
    if "," in value:
        # The server joins repeated fields with commas, which no credential contains.
        raise Refusal(Code.MALFORMED_REQUEST, "Send one credential, not two.")
    match scheme.lower():
        case "bearer":
            return BearerCredential(value)
        case "basic":
            return _basic(value)
    raise Refusal(
        Code.CREDENTIALS_INVALID, "The scheme of `Authorization` must be Bearer or Basic."
    )


def client_address() -> str:
    """Return the client's address behind trusted proxies, for limits: IPv6 as its /64."""
    return proxies.rate_limit_key(current_request.get().client_address)


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
