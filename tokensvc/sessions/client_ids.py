"""
OAuth clients: apps, which are public (RFC 6749 section 2.1), and services, which have a secret.

Pure. The ID of a service has a dot, so no session belongs to a service.
"""

import re

from tokensvc.core.errors import Code, Refusal

DEFAULT_CLIENT_ID = "app"
"""Client of an app that does not name one."""

PUBLIC_ID = r"[A-Za-z0-9_-]{1,64}"
"""Pattern of the ID of an app."""

_SERVICE_PREFIX = "svc."


def public_client_id(client_id: str) -> str:
    """
    Return the ID of an app that sent no secret.

    Args:
        client_id: ID that it sent, "" if none.

    Raises:
        Refusal: `malformed_request`; `credentials_invalid` for the ID of a service.
    """
    if not client_id:
        return DEFAULT_CLIENT_ID
    if client_id.startswith(_SERVICE_PREFIX):
        raise Refusal(
            Code.CREDENTIALS_INVALID,
            "A service authenticates with its secret: send it as `Authorization: Basic` or in "
            "`client_secret`.",
        )
    if not re.fullmatch(PUBLIC_ID, client_id):
        raise Refusal(
            Code.MALFORMED_REQUEST, "`client_id` of an app is 1 to 64 of A-Z a-z 0-9 _ -."
        )
    return client_id
