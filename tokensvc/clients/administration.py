"""
Changes of service clients, by operators and by other clients.

Each change is one transaction with its audit event, and applies to the next request. The rights
that a service may grant are read after its row is locked: it must not grant a scope, or use a
secret, that it lost while it waited.
"""

from collections.abc import Collection, Iterable

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.clients import rules, store
from tokensvc.clients.credentials import hash_secret, is_id, new_client, new_secret, with_another_id
from tokensvc.clients.rules import MAX_SECRETS, Administrator, Rights
from tokensvc.clients.service import matching_secret, unknown_client, with_current_rights
from tokensvc.clients.state import NewClientSecret, NewServiceClient, ServiceClient
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.scopes import Scope, check_scopes
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction


class ClientAdministration:
    """
    Creates, changes and deletes clients.

    If the administrator is a service, every method raises `Refusal` `credentials_invalid` or
    `credentials_expired` after the loss of its secret, and `insufficient_scope` after the loss of
    its scope.

    Args:
        database_clock: Expiry uses its host's clock, events use the database's time.
        may_mint: Whether a client can get the scope `tokens:mint`.
    """

    def __init__(
        self, database: Database, database_clock: DatabaseClock, *, may_mint: bool = True
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._may_mint = may_mint

    def create(
        self, name: str, rights: Rights, *, administrator: Administrator, secret: str | None = None
    ) -> NewServiceClient:
        """
        Create a client with its first secret.

        Args:
            name: Unique name for people.
            rights: Rights of the client.
            administrator: Service or operator that has these rights.
            secret: Secret to use instead of a random one.

        Raises:
            Refusal: `malformed_request` for an invalid name, scope or secret;
                `insufficient_scope`; `conflict` if the name is taken, or the settings permit no
                client with `tokens:mint`.
        """
        with self._database.write() as tx:
            created = self._add(tx, name, rights, secret, administrator)
            if created is None:
                raise _conflict(f"The client {name!r} already exists: rotate its secret.")
        return created

    def create_if_absent(
        self, name: str, rights: Rights, *, administrator: Administrator, secret: str | None = None
    ) -> NewServiceClient | ServiceClient:
        """
        Create a client, or return the existing one of that name unchanged.

        Args: As `create`.

        Raises:
            Refusal: As `create`; `conflict` only if the client does not have the given secret.
        """
        with self._database.write() as tx:
            created = self._add(tx, name, rights, secret, administrator)
            if created is not None:
                return created
            existing = store.named(tx, name)
        if existing is None or (
            secret is not None and matching_secret(existing.hashes, hash_secret(secret)) is None
        ):
            raise _conflict(f"The client {name!r} already exists, with another secret: rotate it.")
        return existing.client

    def change(
        self,
        client_id: str,
        scopes: Iterable[str] | None = None,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        vouches: bool | None = None,
        administrator: Administrator,
    ) -> ServiceClient:
        """
        Change the rights of a client.

        Args:
            client_id: ID of the client.
            scopes: All scopes from now on; `None`: those it has.
            add: Scopes to add to these.
            remove: Scopes to remove, if it has them.
            vouches: Whether it vouches from now on; `None`: unchanged.
            administrator: Service or operator that has the client's rights, old and new.

        Raises:
            Refusal: `malformed_request`, `not_found`, `insufficient_scope`; `conflict` if the
                settings permit no client with `tokens:mint`.
        """
        wanted = None if scopes is None else check_scopes(scopes)
        added, removed = frozenset(add), frozenset(remove)
        with self._database.write() as tx:
            client, administrator = self._lock(tx, client_id, administrator)
            before = client.rights
            after = Rights(
                ((before.scopes if wanted is None else wanted) | added) - removed,
                before.vouches if vouches is None else vouches,
            )
            if not after.scopes:
                check_scopes(after.scopes)
            rules.check_holds(after, administrator)
            if after == before:
                return client
            self._check_minting(after.scopes - before.scopes)
            store.change(tx, client_id, after)
            details = rules.change_details(before, after)
            self._audit(tx, Action.CLIENT_CHANGED, client_id, administrator, details)
        return msgspec.structs.replace(client, scopes=sorted(after.scopes), vouches=after.vouches)

    def add_secret(
        self,
        client_id: str,
        expires_at: int | UnsetType | None = UNSET,
        *,
        secret: str | None = None,
        administrator: Administrator,
    ) -> NewClientSecret:
        """
        Add a second secret to a client, and delete expired ones.

        Args:
            client_id: ID of the client.
            expires_at: Epoch seconds; `None`: never; `UNSET`: with the administrator's secret.
            secret: Secret to use instead of a random one.
            administrator: Service or operator that has the client's rights, since it learns the
                secret.

        Raises:
            Refusal: `malformed_request` for an expiry in the past or after that of the
                administrator's secret, or an invalid secret; `not_found`; `insufficient_scope`;
                `conflict` if it has two unexpired secrets.
        """
        with self._database.write() as tx:
            client, administrator = self._lock(tx, client_id, administrator)
            now = self._clock.host()
            expiry = rules.expiry_of_new_secret(expires_at, administrator)
            created = new_secret(secret, expiry, int(now))
            if created.has_expired(now):
                raise Refusal(
                    Code.MALFORMED_REQUEST, "`expires_at` is in the past. Use epoch seconds."
                )
            unexpired = [s.id for s in client.secrets if not s.has_expired(now)]
            if len(unexpired) >= MAX_SECRETS:
                raise _conflict(
                    f"{client_id} has {MAX_SECRETS} unexpired secrets: delete one of "
                    f"{', '.join(unexpired)} first."
                )
            for stored in client.secrets:
                if stored.id not in unexpired:
                    self._delete_secret(tx, client_id, stored.id, administrator)
            store.add_secret(tx, client_id, created, hash_secret(created.secret))
            details = rules.secret_details(created.id, expiry)
            self._audit(tx, Action.CLIENT_SECRET_ADDED, client_id, administrator, details)
        return created

    def delete(self, client_id: str, *, administrator: Administrator) -> None:
        """
        Delete a client and its secrets. Its ID is never used again.

        Raises:
            Refusal: `not_found`, `insufficient_scope`.
        """
        with self._database.write() as tx:
            self._lock(tx, client_id, administrator)
            store.delete(tx, client_id)
            self._audit(tx, Action.CLIENT_DELETED, client_id, administrator, None)

    def delete_secret(
        self, client_id: str, secret_id: str, *, administrator: Administrator
    ) -> None:
        """
        Delete a secret of a client.

        Raises:
            Refusal: `insufficient_scope`; `not_found`: the client does not exist, or does not have
                the secret.
        """
        with self._database.write() as tx:
            client, _ = self._lock(tx, client_id, administrator)
            if not any(stored.id == secret_id for stored in client.secrets):
                raise Refusal(
                    Code.NOT_FOUND,
                    f"{client_id} does not have this secret: `tokensvc clients list` and "
                    f"GET /v1/clients/{client_id} list its secrets.",
                )
            self._delete_secret(tx, client_id, secret_id, administrator)

    def _add(
        self,
        tx: Transaction,
        name: str,
        rights: Rights,
        secret: str | None,
        administrator: Administrator,
    ) -> NewServiceClient | None:
        """Add a client with its event. Return `None` if its name is taken."""
        found = store.locked(tx, _ids(administrator.client_id))
        administrator = with_current_rights(administrator, found, self._clock.host())
        created = new_client(
            name, rights, secret, administrator.expires_at, int(self._clock.host())
        )
        rules.check_holds(rights, administrator)
        self._check_minting(rights.scopes)
        similar = store.similar_name(tx, name)
        if similar is not None:
            raise _conflict(f"The name differs from that of {similar!r} only by case: use another.")
        if not store.add(tx, created):
            # Either the name is taken, or the ID belonged to a client that was deleted.
            created = with_another_id(created)
            if not store.add(tx, created):
                return None
        (first,) = created.secrets
        store.add_secret(tx, created.id, first, hash_secret(created.secret))
        secret_details = rules.secret_details(first.id, first.expires_at)
        details = rules.rights_details(created.rights) | secret_details
        self._audit(tx, Action.CLIENT_CREATED, created.id, administrator, details)
        return created

    def _check_minting(self, granted: Collection[str]) -> None:
        if Scope.TOKENS_MINT in granted and not self._may_mint:
            raise _conflict(rules.MINTING_CONFLICT)

    def _lock(
        self, tx: Transaction, client_id: str, administrator: Administrator
    ) -> tuple[ServiceClient, Administrator]:
        """
        Lock a client and the administrator, and return both in their current state.

        Raises:
            Refusal: `not_found`; `insufficient_scope` if the client has rights that the
                administrator lacks.
        """
        found = store.locked(tx, {*_ids(client_id), *_ids(administrator.client_id)})
        administrator = with_current_rights(administrator, found, self._clock.host())
        if client_id not in found:
            raise unknown_client()
        rules.check_holds(found[client_id].rights, administrator)
        return found[client_id], administrator

    def _delete_secret(
        self, tx: Transaction, client_id: str, secret_id: str, administrator: Administrator
    ) -> None:
        store.delete_secret(tx, secret_id)
        self._audit(
            tx, Action.CLIENT_SECRET_DELETED, client_id, administrator, {"secret": secret_id}
        )

    def _audit(
        self,
        tx: Transaction,
        action: Action,
        client_id: str,
        administrator: Administrator,
        details: Details | None,
    ) -> None:
        context = ActionContext(administrator.actor, administrator.reason)
        now = self._clock.read(tx)
        record(tx, context, action, client_id, now=now, details=details)


def _conflict(detail: str) -> Refusal:
    return Refusal(Code.CONFLICT, detail)


def _ids(client_id: str | None) -> set[str]:
    """Return the ID if it can be looked up: PostgreSQL refuses text with a NUL."""
    return {client_id} if client_id is not None and is_id(client_id) else set()
