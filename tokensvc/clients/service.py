"""The service clients: authentication, and reading them."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace

from tokensvc.clients.credentials import hash_secret, is_id
from tokensvc.clients.rules import MAX_SECRETS
from tokensvc.clients.state import ClientSecret, ServiceClient
from tokensvc.clients.store import ClientStore, ClientsWithRing, HashedClient
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.standing.rules import RingVersion

_UNUSED_ID = "svc."
"""An ID that no client has; it is looked up for texts that are not IDs."""

_UNUSED_AFTER = 7 * 24 * 3600
"""Seconds after the end of its last secret when a client counts as unused."""

_UNUSED_HASH = "-" * 64
"""A hash that no secret has."""


class Clients:
    """
    The service clients.

    Args:
        clock: Clock that decides what has expired.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = ClientStore(database)
        self._with_ring = ClientsWithRing(database, clock)

    def authenticate(self, client_id: str, *presented: str) -> ServiceCaller:
        """
        Verify client credentials (RFC 6749 section 2.3.1).

        An unknown ID costs the same and gets the same response as a wrong secret: one query, and
        for each text one hash and `MAX_SECRETS` comparisons.

        Args:
            presented: Texts of which one must be a secret of the client.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`.
        """
        found = self._find(client_id)
        hashes = found.hashes if found is not None else {}
        matching = [matching_secret(hashes, hash_secret(text)) for text in presented]
        secret = next((secret for secret in matching if secret is not None), None)
        if found is None or secret is None:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client id or the secret is wrong.")
        return self._caller(found.client, secret)

    def first_end(self) -> int | None:
        """
        Return the time at which the first client has no valid secret, in epoch seconds.

        A client whose last secret ended more than a week ago is not in use: it does not count.
        """
        after = int(self._clock()) - _UNUSED_AFTER
        with self._database.read() as connection:
            return self._store.first_end(connection, after=after)

    def authenticate_token(
        self,
        client_id: str,
        secret_id: str,
        scopes: frozenset[str],
        check_token: Callable[[float, RingVersion], None],
    ) -> ServiceCaller:
        """
        Return the service of a verified access token, with the rights that it still has.

        Args:
            secret_id: ID of the secret for which the token was issued.
            scopes: Scopes of the token.
            check_token: Function that refuses the token at a time, in epoch seconds of the
                database's clock, and at a version of the ring of signing keys, both read with the
                client.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`; what `check_token` raises.
        """
        found, now, ring_version = self._with_ring.find(_id_to_read(client_id))
        check_token(now, ring_version)
        secrets = found.client.secrets if found is not None else []
        secret = next((secret for secret in secrets if secret.id == secret_id), None)
        if found is None or secret is None:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client or its secret was deleted.")
        caller = self._caller(found.client, secret)
        return replace(caller, scopes=caller.scopes & scopes, limited_to=scopes)

    def _find(self, client_id: str) -> HashedClient | None:
        return self._store.find(_id_to_read(client_id))

    def _caller(self, client: ServiceClient, secret: ClientSecret) -> ServiceCaller:
        if not secret.is_live(self._clock()):
            raise Refusal(
                Code.CREDENTIALS_EXPIRED,
                "This secret has expired: use the client's newer one.",
                owner=client.id,
            )
        rights = client.rights
        return ServiceCaller(client.id, rights.scopes, rights.vouches, secret.id, secret.expires_at)

    def page(self, *, after: str | None = None, limit: int | None = None) -> list[ServiceClient]:
        """
        Return clients, sorted by ID.

        Args:
            after: ID of the last client of the previous page.
            limit: Maximum number of clients; `None`: all.
        """
        with self._database.read() as connection:
            return self._store.page(connection, after=after, limit=limit)

    def one(self, client_id: str) -> ServiceClient:
        """
        Return a client.

        Raises:
            Refusal: `not_found`.
        """
        found = self._store.find(client_id) if is_id(client_id) else None
        if found is None:
            raise unknown_client()
        return found.client


def matching_secret(hashes: Mapping[ClientSecret, str], presented_hash: str) -> ClientSecret | None:
    """Return the secret of a hash, with the same number of comparisons for every client."""
    matching = None
    for secret, secret_hash in hashes.items():
        if hmac.compare_digest(secret_hash, presented_hash):
            matching = secret
    for _ in range(MAX_SECRETS - len(hashes)):
        hmac.compare_digest(_UNUSED_HASH, presented_hash)
    return matching


def unknown_client() -> Refusal:
    """Return the refusal for a client that does not exist."""
    return Refusal(
        Code.NOT_FOUND,
        "This client does not exist: `tokensvc clients list` and GET /v1/clients list all.",
    )


def _id_to_read(unverified: str) -> str:
    return unverified if is_id(unverified) else _UNUSED_ID
