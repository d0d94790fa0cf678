"""A client as it is answered and printed: everything but its secrets. Times are epoch seconds."""

import msgspec

from tokensvc.clients.store import StoredClient, StoredSecret


class ClientSecret(msgspec.Struct, frozen=True):
    """
    Metadata of a client secret.

    Attributes:
        id: ID of the secret. It reveals nothing about the secret.
        created_at: Time at which the secret was created, in epoch seconds.
        expires_at: Time from which the secret is refused, in epoch seconds, or `null` if it never
            expires.
        last_used_at: Minute of the latest use, in epoch seconds, known one minute later. `null` if
            it was not used yet.
    """

    id: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None


class ServiceClient(msgspec.Struct, frozen=True):
    """
    A service client without its secrets.

    Attributes:
        id: Client ID, sent as the user name.
        name: Unique name for people.
        scopes: Scopes of the client. A newer release may have granted unknown ones.
        vouches: Whether the client confirms sign-ins itself: its word counts as a new sign-in of
            any user it names.
        created_at: Time at which the client was created, in epoch seconds.
        secrets: Live secrets, at most two, oldest first.
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
