"""New clients and new secrets, before they are stored."""

import secrets

import msgspec

from tokensvc.clients.credentials import (
    SECRET_BYTES,
    check_given_secret,
    check_name,
    make_another_id,
    make_id,
    make_secret,
    make_secret_id,
)
from tokensvc.clients.rules import Rights
from tokensvc.clients.state import ClientSecret, NewClientSecret, NewServiceClient
from tokensvc.core.scopes import check_scopes


def new_client(
    name: str, rights: Rights, given: str | None, expires_at: int | None, now: int
) -> NewServiceClient:
    """
    Return a new client with its first secret.

    Args:
        given: Secret to use instead of a random one.
        expires_at: End of the secret in epoch seconds; `None`: never.

    Raises:
        Refusal: `malformed_request` for an invalid name, scope or secret.
    """
    check_scopes(rights.scopes)
    new = new_secret(given, expires_at, now)
    members = msgspec.structs.asdict(new)
    secret = members.pop("secret")
    return NewServiceClient(
        id=make_id(check_name(name), secrets.token_bytes(8)),
        name=name,
        scopes=sorted(rights.scopes),
        vouches=rights.vouches,
        created_at=now,
        secrets=[ClientSecret(**members)],
        secret=secret,
    )


def with_another_id(client: NewServiceClient) -> NewServiceClient:
    """Return a new client whose ID ends with a random suffix."""
    another = make_another_id(client.id, secrets.token_bytes(4))
    return msgspec.structs.replace(client, id=another)


def new_secret(given: str | None, expires_at: int | None, now: int) -> NewClientSecret:
    """
    Return a new secret.

    Args:
        given: Secret to use instead of a random one.
        expires_at: Epoch seconds; `None`: never.

    Raises:
        Refusal: `malformed_request` for an invalid secret.
    """
    if given is not None:
        check_given_secret(given)
    return NewClientSecret(
        id=make_secret_id(secrets.token_bytes(8)),
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
        secret=make_secret(secrets.token_bytes(SECRET_BYTES)) if given is None else given,
    )
