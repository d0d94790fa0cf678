"""Authentication of service clients, and their upkeep by operators."""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from tokensvc.clients.credentials import (
    SECRET_BYTES,
    check_given_secret,
    check_name,
    hash_secret,
    is_id,
    make_id,
    make_secret,
)
from tokensvc.clients.scopes import check_scopes
from tokensvc.clients.store import ClientStore, StoredClient, StoredSecret
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database

MAX_SECRETS = 2
"""At once, so that a client rotates without a gap and nothing is forgotten about."""

_NOBODY = "svc."
"""An id that no client has, looked up for ids that cannot exist."""


class ClientConflictError(ValueError):
    """The name is taken, or the client has as many secrets as it may."""


class UnknownClientError(ValueError):
    """There is no such client, or it has no such secret."""


@dataclass(frozen=True, slots=True)
class CreatedSecret:
    """A secret that was just made; this is the only time that it is to be had."""

    id: str
    secret: str = field(repr=False)
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """
    A client that was asked for.

    Attributes:
        secret: `None` if the client had existed before.
    """

    id: str
    name: str
    scopes: frozenset[str]
    vouches: bool
    secret: CreatedSecret | None


class Clients:
    """
    The service clients.

    Args:
        clock: Decides what has expired.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = ClientStore(database)

    def authenticate(self, client_id: str, secret: str) -> ServiceCaller:
        """
        Verify client credentials (RFC 6749 section 2.3.1).

        An unknown id costs and answers the same as a wrong secret: one query, one hash and as many
        comparisons as a client can have secrets.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired` or `temporarily_unavailable`.
        """
        presented = hash_secret(secret)
        client = self._store.find(client_id if is_id(client_id) else _NOBODY)
        stored = client.secrets if client is not None else ()
        matching = _matching(stored, presented)
        if client is None or matching is None:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client id or the secret is wrong.")
        if not matching.is_live(self._clock()):
            raise Refusal(
                Code.CREDENTIALS_EXPIRED, "This secret has expired: use the client's newer one."
            )
        return ServiceCaller(client.id, client.scopes, client.vouches)

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        vouches: bool = False,
        secret: str | None = None,
        if_absent: bool = False,
    ) -> CreatedClient:
        """
        Make a client with its first secret.

        Args:
            name: For people; no two clients share one.
            scopes: What it may do.
            vouches: Whether its word counts as a fresh sign-in of any user.
            secret: Taken instead of a random one, as secret stores need.
            if_absent: An existing client of that name is left as it is, and given back.

        Raises:
            ClientConflictError: The name is taken, or, with `if_absent`, by a client that does not
                have this secret.
            ValueError: A name, scope or secret that no client can have.
            Refusal: `temporarily_unavailable`.
        """
        text, stored_secret = self._new_secret(secret, expires_at=None)
        client = StoredClient(
            id=make_id(check_name(name), secrets.token_bytes(8)),
            name=name,
            scopes=check_scopes(scopes),
            vouches=vouches,
            created_at=stored_secret.created_at,
            secrets=(stored_secret,),
        )
        with self._database.write() as tx:
            if self._store.add(tx, client):
                return _created(client, CreatedSecret(stored_secret.id, text, None))
            existing = self._store.named(tx, name)
        if existing is None or not if_absent:
            raise ClientConflictError(f"There is a client {name!r} already: rotate its secret.")
        if secret is not None and _matching(existing.secrets, stored_secret.secret_hash) is None:
            raise ClientConflictError(
                f"There is a client {name!r} already, with another secret: rotate it."
            )
        return _created(existing, None)

    def list(self) -> list[StoredClient]:
        """
        Give all clients, oldest first.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.read() as connection:
            return self._store.every(connection)

    def add_secret(
        self, client_id: str, expires_at: int | None = None, *, secret: str | None = None
    ) -> CreatedSecret:
        """
        Give a client a second secret. Those that have expired make room.

        Args:
            client_id: Whose.
            expires_at: Epoch seconds; `None`: never.
            secret: Taken instead of a random one.

        Raises:
            UnknownClientError: There is no such client.
            ClientConflictError: It has two that are live.
            ValueError: The expiry has passed already, or no client can have this secret.
            Refusal: `temporarily_unavailable`.
        """
        text, stored = self._new_secret(secret, expires_at)
        if not stored.is_live(self._clock()):
            raise ValueError("`expires_at` has passed: give a time to come, in epoch seconds.")
        with self._database.write() as tx:
            client = self._store.locked(tx, client_id) if is_id(client_id) else None
            if client is None:
                raise _unknown(client_id)
            live = [each for each in client.secrets if each.is_live(self._clock())]
            if len(live) >= MAX_SECRETS:
                raise ClientConflictError(
                    f"{client_id} has {MAX_SECRETS} live secrets: delete one of "
                    f"{', '.join(each.id for each in live)} first."
                )
            expired = {each.id for each in client.secrets} - {each.id for each in live}
            self._store.delete_secrets(tx, client_id, expired)
            self._store.add_secret(tx, client_id, stored)
        return CreatedSecret(stored.id, text, expires_at)

    def delete(self, client_id: str) -> None:
        """
        Delete a client; its secrets are refused from now on.

        Raises:
            UnknownClientError: There is no such client.
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            if not (is_id(client_id) and self._store.delete(tx, client_id)):
                raise _unknown(client_id)

    def delete_secret(self, client_id: str, secret_id: str) -> None:
        """
        Delete one secret of a client.

        Raises:
            UnknownClientError: There is no such client, or it has no such secret.
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            if not (is_id(client_id) and self._store.delete_secrets(tx, client_id, [secret_id])):
                raise _unknown(client_id, secret_id)

    def _new_secret(self, given: str | None, expires_at: int | None) -> tuple[str, StoredSecret]:
        if given is None:
            text = make_secret(secrets.token_bytes(SECRET_BYTES))
        else:
            text = check_given_secret(given)
        stored = StoredSecret(
            id=f"sec_{secrets.token_hex(8)}",
            secret_hash=hash_secret(text),
            created_at=int(self._clock()),
            expires_at=expires_at,
        )
        return text, stored


def _matching(stored: tuple[StoredSecret, ...], presented_hash: str) -> StoredSecret | None:
    """Find the secret of that hash, with as many comparisons whatever there is to compare with."""
    matching = None
    for candidate in stored + (_NO_SECRET,) * (MAX_SECRETS - len(stored)):
        if hmac.compare_digest(candidate.secret_hash, presented_hash):
            matching = candidate
    return matching


# Its hash is no hexadecimal, so nothing presented has it.
_NO_SECRET = StoredSecret(id="", secret_hash="-" * 64, created_at=0, expires_at=None)


def _created(client: StoredClient, secret: CreatedSecret | None) -> CreatedClient:
    return CreatedClient(client.id, client.name, client.scopes, client.vouches, secret)


def _unknown(client_id: str, secret_id: str | None = None) -> UnknownClientError:
    what = f"client {client_id!r}" if secret_id is None else f"{client_id!r} with {secret_id!r}"
    return UnknownClientError(f"There is no {what}: `tokensvc clients list` shows what there is.")
