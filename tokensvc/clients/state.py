"""Service clients and their secrets, as they are returned and printed."""

import msgspec

from tokensvc.clients.rules import Rights


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

    def has_expired(self, now: float) -> bool:
        """Return whether it is refused at a time."""
        return self.expires_at is not None and now >= self.expires_at


class ServiceClient(msgspec.Struct, frozen=True):
    """
    A service client without its secrets.

    Attributes:
        id: Client ID, sent as the user name.
        name: Unique name for people.
        scopes: Scopes of the client. A newer release may have granted unknown ones.
        vouches: Whether the client confirms sign-ins itself: a request that names a user counts as
            that user's sign-in.
        created_at: Time at which the client was created, in epoch seconds.
        secrets: Live secrets, at most two, oldest first.
    """

    id: str
    name: str
    scopes: list[str]
    vouches: bool
    created_at: int
    secrets: list[ClientSecret]

    @property
    def rights(self) -> Rights:
        """The rights of the client."""
        return Rights(frozenset(self.scopes), self.vouches)


class NewClientSecret(ClientSecret, frozen=True, kw_only=True):
    """
    A new client secret, shown only in this response.

    Attributes:
        secret: Secret that the client sends as its password.
    """

    secret: str

    def __repr__(self) -> str:
        """Return the name without the secret."""
        return f"{type(self).__name__}(id={self.id!r})"


class NewServiceClient(ServiceClient, frozen=True, kw_only=True):
    """
    A new service client with its secret, shown only in this response.

    Attributes:
        secret: Secret that the client sends as its password.
    """

    secret: str

    def __repr__(self) -> str:
        """Return the name without the secret."""
        return f"{type(self).__name__}(id={self.id!r})"
