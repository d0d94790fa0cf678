"""A client as it is answered and printed: everything but its secrets. Times are epoch seconds."""

import msgspec

from tokensvc.clients.store import StoredClient, StoredSecret


class ClientSecret(msgspec.Struct, frozen=True):
    """
    A secret, without the secret itself.

    Attributes:
        expires_at: From then on it is refused; `None`: never.
        last_used_at: To the minute; `None`: never yet.
    """

    id: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None


class ServiceClient(msgspec.Struct, frozen=True):
    """
    A client.

    Attributes:
        scopes: Text, since a newer release may have granted one.
        vouches: Whether its word is a fresh sign-in of any user that it names.
        secrets: Oldest first.
    """

    id: str
    name: str
    scopes: list[str]
    vouches: bool
    created_at: int
    secrets: list[ClientSecret]


def client_state(client: StoredClient) -> ServiceClient:
    """Give what may be known of a client."""
    return ServiceClient(
        id=client.id,
        name=client.name,
        scopes=sorted(client.scopes),
        vouches=client.vouches,
        created_at=client.created_at,
        secrets=[secret_state(secret) for secret in client.secrets],
    )


def secret_state(secret: StoredSecret) -> ClientSecret:
    """Give what may be known of a secret."""
    return ClientSecret(secret.id, secret.created_at, secret.expires_at, secret.last_used_at)
