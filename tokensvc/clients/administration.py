"""
The acts on service clients, of operators and of clients on one another.

Each is one transaction with its audit event, and in force with the next request. What a service may
hand on is what it holds once its row is locked: a scope or a secret that was taken from it while it
waited must not come back through it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.clients import rules
from tokensvc.clients.creation import CreatedClient, CreatedSecret, new_client, new_secret
from tokensvc.clients.credentials import is_id
from tokensvc.clients.rules import MAX_SECRETS, Grantor, Rights
from tokensvc.clients.scopes import check_scopes
from tokensvc.clients.service import matching_secret, unknown_client
from tokensvc.clients.store import ClientStore, StoredClient, StoredSecret
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction


class ClientAdministration:
    """
    Makes clients, changes and deletes them.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails, and for a
    service that has lost its secret since it authenticated `credentials_invalid` or
    `credentials_expired`, its scope `insufficient_scope`.

    Args:
        clock: Decides what has expired.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._audit_clock = DatabaseClock(database, clock)
        self._store = ClientStore(database)

    def create(
        self, name: str, rights: Rights, *, grantor: Grantor, secret: str | None = None
    ) -> CreatedClient:
        """
        Make a client with its first secret.

        Args:
            name: For people; no two clients share one.
            rights: What it may do.
            by: Who makes it, and may do all that themselves.
            secret: Taken instead of a random one, as secret stores need.

        Raises:
            Refusal: `malformed_request` for a name, scope or secret that no client can have;
                `insufficient_scope`; `conflict` if the name is taken.
        """
        created = new_client(name, rights, secret, int(self._clock()))
        with self._database.write() as tx:
            rules.check_grant(rights, self._lock_grantor(tx, grantor))
            if not self._add(tx, created, grantor):
                raise _conflict(f"There is a client {name!r} already: rotate its secret.")
        return created

    def create_if_absent(
        self, name: str, rights: Rights, *, grantor: Grantor, secret: str | None = None
    ) -> CreatedClient | StoredClient:
        """
        Make a client, or give the one of that name as it is.

        Args: As `create`.

        Raises:
            Refusal: As `create`; `conflict` only if the client does not have the given secret.
        """
        created = new_client(name, rights, secret, int(self._clock()))
        with self._database.write() as tx:
            rules.check_grant(rights, self._lock_grantor(tx, grantor))
            if self._add(tx, created, grantor):
                return created
            existing = self._store.named(tx, name)
        presented = created.secret.stored.secret_hash
        if existing is None or (
            secret is not None and matching_secret(existing.secrets, presented) is None
        ):
            raise _conflict(f"There is a client {name!r} already, with another secret: rotate it.")
        return existing

    def change(
        self,
        client_id: str,
        scopes: Iterable[str] | None = None,
        *,
        vouches: bool | None = None,
        grantor: Grantor,
    ) -> StoredClient:
        """
        Let a client do more or less, from the next request on.

        Args:
            client_id: Whose rights change.
            scopes: All that it may do; `None`: as before.
            vouches: Whether it vouches; `None`: as before.
            by: Who does it, and holds what they add.

        Raises:
            Refusal: `malformed_request`, `not_found`, `insufficient_scope`.
        """
        wanted = None if scopes is None else check_scopes(scopes)
        with self._database.write() as tx:
            client, grantor = self._locked(tx, client_id, grantor)
            before = client.rights
            after = Rights(
                before.scopes if wanted is None else wanted,
                before.vouches if vouches is None else vouches,
            )
            rules.check_grant(after.minus(before), grantor)
            if after == before:
                return client
            self._store.change(tx, client_id, after)
            facts = rules.describe_change(before, after)
            self._audit(tx, Action.CLIENT_CHANGED, client_id, grantor, facts)
            return replace(client, scopes=after.scopes, vouches=after.vouches)

    def add_secret(
        self,
        client_id: str,
        expires_at: int | None = None,
        *,
        secret: str | None = None,
        grantor: Grantor,
    ) -> CreatedSecret:
        """
        Give a client a second secret. Those that have expired make room.

        Args:
            client_id: Whose.
            expires_at: Epoch seconds; `None`: never.
            secret: Taken instead of a random one.
            by: Who does it, and may do all that the client may: they will know the secret.

        Raises:
            Refusal: `malformed_request` for an expiry that has passed or a secret that no client
                can have; `not_found`; `insufficient_scope`; `conflict` if it has two that are live.
        """
        created = new_secret(secret, expires_at, int(self._clock()))
        if not created.stored.is_live(self._clock()):
            raise Refusal(
                Code.MALFORMED_REQUEST,
                "`expires_at` has passed: give a time to come, in epoch seconds.",
            )
        with self._database.write() as tx:
            client, grantor = self._locked(tx, client_id, grantor)
            rules.check_grant(client.rights, grantor)
            now = self._clock()
            live = [each for each in client.secrets if each.is_live(now)]
            if len(live) >= MAX_SECRETS:
                raise _conflict(
                    f"{client_id} has {MAX_SECRETS} live secrets: delete one of "
                    f"{', '.join(each.id for each in live)} first."
                )
            expired = [each for each in client.secrets if not each.is_live(now)]
            self._delete_secrets(tx, client_id, expired, grantor)
            self._store.add_secret(tx, client_id, created.stored)
            facts = [f"secret: {created.id}"]
            if expires_at is not None:
                facts.append(f"expires_at: {expires_at}")
            self._audit(tx, Action.CLIENT_SECRET_ADDED, client_id, grantor, facts)
        return created

    def delete(self, client_id: str, *, grantor: Grantor) -> None:
        """
        Delete a client; its secrets are refused from now on.

        Raises:
            Refusal: `not_found`.
        """
        with self._database.write() as tx:
            self._locked(tx, client_id, grantor)
            self._store.delete(tx, client_id)
            self._audit(tx, Action.CLIENT_DELETED, client_id, grantor, [])

    def delete_secret(self, client_id: str, secret_id: str, *, grantor: Grantor) -> None:
        """
        Delete one secret of a client.

        Raises:
            Refusal: `not_found`: there is no such client, or it has no such secret.
        """
        with self._database.write() as tx:
            client, _ = self._locked(tx, client_id, grantor)
            found = [each for each in client.secrets if each.id == secret_id]
            if not found:
                raise Refusal(
                    Code.NOT_FOUND,
                    f"{client_id} has no such secret: `tokensvc clients list` and "
                    f"GET /v1/clients/{client_id} show those that it has.",
                )
            self._delete_secrets(tx, client_id, found, grantor)

    def _add(self, tx: Transaction, created: CreatedClient, grantor: Grantor) -> bool:
        """Add a client with its event; `False`, and nothing done, if the name or id is taken."""
        if not self._store.add(tx, created.client):
            return False
        facts = [*rules.describe_rights(created.client.rights), f"secret: {created.secret.id}"]
        self._audit(tx, Action.CLIENT_CREATED, created.id, grantor, facts)
        return True

    def _locked(
        self, tx: Transaction, client_id: str, grantor: Grantor
    ) -> tuple[StoredClient, Grantor]:
        """Lock a client and the one that changes it, and give both as they are by then."""
        found = self._store.locked(tx, {*_ids(client_id), *_ids(grantor.client_id)})
        grantor = self._current_grantor(grantor, found)
        if client_id not in found:
            raise unknown_client()
        return found[client_id], grantor

    def _lock_grantor(self, tx: Transaction, grantor: Grantor) -> Grantor:
        """Lock the client that makes another, and give it as it is by then."""
        return self._current_grantor(grantor, self._store.locked(tx, _ids(grantor.client_id)))

    def _current_grantor(self, grantor: Grantor, found: Mapping[str, StoredClient]) -> Grantor:
        if grantor.client_id is None:
            return grantor
        client = found.get(grantor.client_id)
        shown = [each for each in client.secrets if each.id == grantor.secret_id] if client else []
        if client is None or not shown:
            raise Refusal(Code.CREDENTIALS_INVALID, "The client or its secret is there no more.")
        if not any(each.is_live(self._clock()) for each in shown):
            raise Refusal(Code.CREDENTIALS_EXPIRED, "The secret has expired: add another one.")
        rules.check_may_manage_clients(client.rights)
        return replace(grantor, rights=client.rights)

    def _delete_secrets(
        self, tx: Transaction, client_id: str, gone: list[StoredSecret], grantor: Grantor
    ) -> None:
        self._store.delete_secrets(tx, client_id, [each.id for each in gone])
        for each in gone:
            facts = [f"secret: {each.id}"]
            self._audit(tx, Action.CLIENT_SECRET_DELETED, client_id, grantor, facts)

    def _audit(
        self,
        tx: Transaction,
        action: Action,
        client_id: str,
        grantor: Grantor,
        facts: Iterable[str],
    ) -> None:
        context = ActionContext(grantor.actor, rules.audit_reason(facts, grantor.reason))
        record(tx, context, action, client_id, now=self._audit_clock.read(tx))


def _conflict(detail: str) -> Refusal:
    return Refusal(Code.CONFLICT, detail)


def _ids(client_id: str | None) -> set[str]:
    """Give what can be looked up: PostgreSQL takes no text with a NUL."""
    return {client_id} if client_id is not None and is_id(client_id) else set()
