"""Events as identity providers sign and send them."""

import secrets
from typing import Any

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response

AUDIENCE = "chat-client"
"""Audience of the events, which is not that of the tokens."""
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SESSION_REVOKED = f"{CAEP}session-revoked"
FORM = "application/x-www-form-urlencoded"
SECURITY_EVENT = "application/secevent+jwt"


def claims_of(issuer: IssuerDouble, event: str, **changes: Any) -> dict[str, Any]:
    """Return valid claims of an event. `changes` adds or overrides, `None` removes."""
    now = int(issuer.clock())
    claims = {
        "iss": issuer.issuer,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_hex(8),
        "events": {event: {}},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def logout_token(issuer: IssuerDouble, *, typ: str | None = "logout+jwt", **changes: Any) -> str:
    """Return a logout token of OpenID Connect."""
    return issuer.sign(claims_of(issuer, LOGOUT, **changes), header={"typ": typ})


def security_event(
    issuer: IssuerDouble,
    event: str = SESSION_REVOKED,
    *,
    typ: str | None = "secevent+jwt",
    **changes: Any,
) -> str:
    """Return a security event token of the Shared Signals Framework, by default without `exp`."""
    return issuer.sign(claims_of(issuer, event, **{"exp": None, **changes}), header={"typ": typ})


def iss_sub(issuer: IssuerDouble, user_id: str) -> dict[str, str]:
    """Return the identifier of a user (RFC 9493 section 3.2.3)."""
    return {"format": "iss_sub", "iss": issuer.issuer, "sub": user_id}


def send_logout(client: Client, token: str, name: str = "acme", **options: Any) -> Response:
    """Send a logout token as a provider does."""
    return client.post(f"/v1/issuers/{name}/events", form={"logout_token": token}, **options)


def push(client: Client, token: str, name: str = "acme", **options: Any) -> Response:
    """Push a security event token as a provider does (RFC 8935)."""
    headers = {"Content-Type": SECURITY_EVENT, "Accept": "application/json"}
    path = f"/v1/issuers/{name}/events"
    return client.post(path, headers=headers, body=token.encode(), **options)
