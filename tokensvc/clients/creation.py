"""New clients and new secrets, as they are before anybody stores them."""

import secrets
from dataclasses import dataclass, field

from tokensvc.clients.credentials import (
    SECRET_BYTES,
    check_given_secret,
    check_name,
    hash_secret,
    make_id,
    make_secret,
    make_secret_id,
)
from tokensvc.clients.rules import Rights
from tokensvc.clients.scopes import check_scopes
from tokensvc.clients.store import StoredClient, StoredSecret


@dataclass(frozen=True, slots=True)
class CreatedSecret:
    """A secret that was just made; this is the only time that it is to be had."""

    stored: StoredSecret
    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        """What it is called when it is to be deleted."""
        return self.stored.id


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """A client that was just made, with its first secret."""

    client: StoredClient
    secret: CreatedSecret

    @property
    def id(self) -> str:
        """What it authenticates as."""
        return self.client.id


def new_client(name: str, rights: Rights, given: str | None, now: int) -> CreatedClient:
    """
    Make a client with its first secret.

    Args:
        given: Taken instead of a random secret.
        now: Epoch seconds.

    Raises:
        Refusal: `malformed_request` for a name, scope or secret that no client can have.
    """
    check_scopes(rights.scopes)
    created = new_secret(given, None, now)
    client = StoredClient(
        id=make_id(check_name(name), secrets.token_bytes(8)),
        name=name,
        scopes=rights.scopes,
        vouches=rights.vouches,
        created_at=now,
        secrets=(created.stored,),
    )
    return CreatedClient(client, created)


def new_secret(given: str | None, expires_at: int | None, now: int) -> CreatedSecret:
    """
    Make a secret.

    Args:
        given: Taken instead of a random one.
        expires_at: Epoch seconds; `None`: never.
        now: Epoch seconds.

    Raises:
        Refusal: `malformed_request` for a secret that no client can have.
    """
    if given is None:
        text = make_secret(secrets.token_bytes(SECRET_BYTES))
    else:
        text = check_given_secret(given)
    stored = StoredSecret(
        id=make_secret_id(secrets.token_bytes(8)),
        secret_hash=hash_secret(text),
        created_at=now,
        expires_at=expires_at,
    )
    return CreatedSecret(stored, text)
