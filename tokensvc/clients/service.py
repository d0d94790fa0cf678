"""The service clients as requests meet them: who authenticates, and what there is."""

import hmac

from tokensvc.clients.credentials import hash_secret, is_id
from tokensvc.clients.rules import MAX_SECRETS
from tokensvc.clients.store import ClientStore, StoredClient, StoredSecret
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database

_NOBODY = "svc."
"""An id that no client has, looked up for ids that cannot exist."""


class Clients:
    """
    The service clients.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

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
            Refusal: `credentials_invalid`, `credentials_expired`.
        """
        presented = hash_secret(secret)
        client = self._store.find(client_id if is_id(client_id) else _NOBODY)
        stored = client.secrets if client is not None else ()
        matching = matching_secret(stored, presented)
        if client is None or matching is None:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client id or the secret is wrong.")
        if not matching.is_live(self._clock()):
            raise Refusal(
                Code.CREDENTIALS_EXPIRED, "This secret has expired: use the client's newer one."
            )
        return ServiceCaller(client.id, client.scopes, client.vouches, matching.id)

    def page(self, *, after: str | None = None, limit: int | None = None) -> list[StoredClient]:
        """
        Give clients in the order of their ids.

        Args:
            after: The id of the last client that was seen.
            limit: Clients at most; `None`: all.
        """
        with self._database.read() as connection:
            return self._store.page(connection, after=after, limit=limit)

    def one(self, client_id: str) -> StoredClient:
        """
        Give a client.

        Raises:
            Refusal: `not_found`.
        """
        client = self._store.find(client_id) if is_id(client_id) else None
        if client is None:
            raise unknown_client()
        return client


def matching_secret(stored: tuple[StoredSecret, ...], presented_hash: str) -> StoredSecret | None:
    """Find the secret of that hash, with as many comparisons whatever there is to compare with."""
    matching = None
    for candidate in stored + (_NO_SECRET,) * (MAX_SECRETS - len(stored)):
        if hmac.compare_digest(candidate.secret_hash, presented_hash):
            matching = candidate
    return matching


# Its hash is no hexadecimal, so nothing presented has it.
_NO_SECRET = StoredSecret(id="", secret_hash="-" * 64, created_at=0, expires_at=None)


def unknown_client() -> Refusal:
    """Refuse what is about a client that is not there."""
    return Refusal(
        Code.NOT_FOUND,
        "There is no such client: `tokensvc clients list` and GET /v1/clients show what there is.",
    )
