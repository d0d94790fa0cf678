"""The service clients: authentication, the last use of their secrets, and reading them."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tokensvc.clients import rules, store
from tokensvc.clients.credentials import hash_secret, is_id
from tokensvc.clients.rules import MAX_SECRETS, Administrator
from tokensvc.clients.state import ClientSecret, ServiceClient
from tokensvc.clients.store import FoundClient
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.database.pending import PendingWrites
from tokensvc.standing.rules import RingVersion

MINUTE = 60
"""Seconds; uses are dated by the minute."""

_DUMMY_ID = "svc."
"""An ID that no client has; it is looked up for texts that are not IDs."""

_IDLE_AFTER = 7 * 24 * 3600
"""Seconds after the end of its last secret when a client counts as unused."""

_DUMMY_HASH = "-" * 64
"""A hash that no secret has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCaller(ServiceCaller):
    """
    A service that sent its secret.

    Attributes:
        now: Epoch seconds of the database's clock, read with the client.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
    """

    now: float
    signing_ring_version: RingVersion


def pending_uses(database: Database) -> PendingWrites[str]:
    """Return the times of last use, by secret ID, that are not written yet."""
    return PendingWrites(database, max, store.note_uses)


def record_use(uses: PendingWrites[str], clock: Clock, secret_id: str) -> None:
    """Record that a client authenticated with a secret."""
    now = int(clock())
    uses.add(secret_id, now - now % MINUTE)


class Clients:
    """
    The service clients.

    Args:
        clock: Clock that decides what has expired.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def authenticate(self, client_id: str, *presented: str) -> SecretCaller:
        """
        Verify client credentials (RFC 6749 section 2.3.1).

        An unknown ID costs the same and gets the same response as a wrong secret: one query, and
        for each text one hash and `MAX_SECRETS` comparisons.

        Args:
            presented: Texts of which one must be a secret of the client.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`.
        """
        found, now, ring_version = self._find(client_id)
        hashes = found.hashes if found is not None else {}
        matching = [matching_secret(hashes, hash_secret(text)) for text in presented]
        secret = next((secret for secret in matching if secret is not None), None)
        if found is None or secret is None:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client id or the secret is wrong.")
        _check_unexpired(found.client, secret, self._clock())
        rights = found.client.rights
        return SecretCaller(
            client_id=found.client.id,
            scopes=rights.scopes,
            vouches=rights.vouches,
            secret_id=secret.id,
            secret_expires_at=secret.expires_at,
            now=now,
            signing_ring_version=ring_version,
        )

    def earliest_expiry(self) -> int | None:
        """
        Return the time at which the first client has no valid secret, in epoch seconds.

        A client whose last secret ended more than a week ago is not in use: it does not count.
        """
        after = int(self._clock()) - _IDLE_AFTER
        with self._database.read() as connection:
            return store.earliest_expiry(connection, after=after)

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
        found, now, ring_version = self._find(client_id)
        check_token(now, ring_version)
        client = found.client if found is not None else None
        client, secret = _with_secret(client, secret_id, self._clock())
        rights = client.rights
        return ServiceCaller(
            client_id=client.id,
            scopes=rights.scopes & scopes,
            vouches=rights.vouches,
            secret_id=secret.id,
            secret_expires_at=secret.expires_at,
            token_scopes=scopes,
        )

    def _find(self, unverified_id: str) -> FoundClient:
        client_id = unverified_id if is_id(unverified_id) else _DUMMY_ID
        return store.find(self._database, self._clock, client_id)

    def page(self, *, after: str | None = None, limit: int | None = None) -> list[ServiceClient]:
        """
        Return clients, sorted by ID.

        Args:
            after: ID of the last client of the previous page.
            limit: Maximum number of clients; `None`: all.
        """
        with self._database.read() as connection:
            return store.page(connection, after=after, limit=limit)

    def one(self, client_id: str) -> ServiceClient:
        """
        Return a client.

        Raises:
            Refusal: `not_found`.
        """
        found = self._find(client_id).client if is_id(client_id) else None
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
        hmac.compare_digest(_DUMMY_HASH, presented_hash)
    return matching


def unknown_client() -> Refusal:
    """Return the refusal for a client that does not exist."""
    return Refusal(
        Code.NOT_FOUND,
        "This client does not exist: `tokensvc clients list` and GET /v1/clients list all clients.",
    )


def with_current_rights(
    administrator: Administrator, found: Mapping[str, ServiceClient], now: float
) -> Administrator:
    """
    Return an administrator with its current rights. An operator's never change.

    Args:
        found: Locked clients by ID, with the administrator's.

    Raises:
        Refusal: `credentials_invalid` or `credentials_expired` after the loss of its secret;
            `insufficient_scope` after the loss of its scope.
    """
    if administrator.client_id is None:
        return administrator
    found_client = found.get(administrator.client_id)
    client, secret = _with_secret(found_client, administrator.secret_id, now)
    rights = client.rights
    if administrator.token_scopes is not None:
        rights = replace(rights, scopes=rights.scopes & administrator.token_scopes)
    rules.check_may_manage_clients(rights)
    return replace(administrator, rights=rights, expires_at=secret.expires_at)


def _with_secret(
    client: ServiceClient | None, secret_id: str | None, now: float
) -> tuple[ServiceClient, ClientSecret]:
    """Return a client and its secret of an ID, which it must still have."""
    secrets = client.secrets if client is not None else []
    secret = next((secret for secret in secrets if secret.id == secret_id), None)
    if client is None or secret is None:
        raise Refusal(Code.CREDENTIALS_INVALID, "The client or its secret was deleted.")
    _check_unexpired(client, secret, now)
    return client, secret


def _check_unexpired(client: ServiceClient, secret: ClientSecret, now: float) -> None:
    if secret.has_expired(now):
        raise Refusal(
            Code.CREDENTIALS_EXPIRED,
            "This secret has expired: use the client's newer one.",
            owner=client.id,
        )
