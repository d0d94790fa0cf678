"""
Re-encryption of every secret with the first encryption key, so that the others can be removed.

It runs next to traffic and actions, in several processes, and can be stopped and started again:
each row is changed only if it still contains the ciphertext that was read, and a changed row is not
found again. The ring version stays the same, since the secrets do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.keys import store
from tokensvc.keys.store import StoredKey
from tokensvc.keys.vault import Vault, VaultError
from tokensvc.standing import store as standings

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Progress of a re-encryption.

    Attributes:
        seen: Number of rows under other keys that were read.
        rewrapped: Number of those that are under the first key now.
        unreadable: Number of those that no key of this process unwraps.
    """

    seen: int = 0
    rewrapped: int = 0
    unreadable: int = 0


class Reencryption:
    """
    Wraps secrets with the first encryption key.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Args:
        clock: Clock of the database.
    """

    def __init__(self, database: Database, clock: DatabaseClock, vault: Vault) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault

    def run(self, context: ActionContext) -> Iterator[Progress]:
        """Re-encrypt all secrets in batches, and yield the progress after each batch."""
        progress, after = Progress(), ""
        while True:
            with self._database.read() as connection:
                keys = store.under_other_keys(
                    connection, self._vault.wrapped_by, after=after, limit=_BATCH
                )
            if not keys:
                return
            after = keys[-1].info.id
            progress = self._run_batch(keys, progress, context)
            yield progress

    def remaining(self) -> dict[str, int]:
        """Return the number of rows under other keys, by the fingerprint of the key."""
        with self._database.read() as connection:
            counts = store.count_by_encryption_key(connection)
        return {key: count for key, count in counts.items() if key != self._vault.wrapped_by}

    def _run_batch(
        self, keys: list[StoredKey], before: Progress, context: ActionContext
    ) -> Progress:
        rewrapped = [(key, self._rewrap(key)) for key in keys]
        readable = [(key, wrapped) for key, wrapped in rewrapped if wrapped is not None]
        with self._database.write(dry_run=context.dry_run) as tx:
            # Actions change rows in another order: without the lock both could deadlock.
            standings.lock_rings(tx)
            changed = sum(store.rewrap(tx, key, *wrapped) for key, wrapped in readable)
            if changed:
                reason = f"{changed} now under {self._vault.wrapped_by}"
                if context.reason:
                    reason += f": {context.reason}"
                record(
                    tx,
                    replace(context, reason=reason),
                    Action.SECRETS_REENCRYPTED,
                    "stream_keys",
                    now=self._clock.read(tx),
                )
        return Progress(
            seen=before.seen + len(keys),
            rewrapped=before.rewrapped + changed,
            unreadable=before.unreadable + len(keys) - len(readable),
        )

    def _rewrap(self, key: StoredKey) -> tuple[str, str] | None:
        try:
            return self._vault.wrap(self._vault.unwrap(key.ciphertext))
        except VaultError:
            return None
