"""
Re-encryption of every secret with the first encryption key, so that the others can be removed.

It runs next to traffic and actions, in several processes, and can be stopped and started again:
each row is changed only if it still contains the ciphertext that was read, and a changed row is not
found again. The versions of the rings stay the same, since the secrets do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.standing import ring_versions
from tokensvc.vault.store import EncryptedSecret, EncryptedSecrets
from tokensvc.vault.vault import Vault, VaultError

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Progress of a re-encryption.

    Attributes:
        seen: Number of rows under other keys that were read.
        reencrypted: Number of rows re-encrypted with the first key.
        unreadable: Number of rows that no key of this process decrypts.
    """

    seen: int = 0
    reencrypted: int = 0
    unreadable: int = 0


class Reencryption:
    """
    Encrypts secrets with the first encryption key.

    Args:
        tables: Secrets of each table.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        vault: Vault,
        tables: Sequence[EncryptedSecrets],
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._vault = vault
        self._tables = tables

    def run(self, context: ActionContext) -> Iterator[Progress]:
        """Re-encrypt all secrets in batches, and yield the progress after each batch."""
        progress = Progress()
        for table in self._tables:
            for batch in self._batches(table):
                progress = self._run_batch(table, batch, progress, context)
                yield progress

    def remaining(self) -> dict[str, int]:
        """Return the number of rows under other keys, by the fingerprint of the key."""
        counts: Counter[str] = Counter()
        with self._database.read() as connection:
            for table in self._tables:
                counts.update(
                    table.count_under_other_keys(connection, self._vault.first_fingerprint)
                )
        return dict(counts)

    def keys_in_use(self) -> dict[str, bool]:
        """Return the fingerprints of the keys of all secrets, and whether this process has each."""
        used: set[str] = set()
        with self._database.read() as connection:
            for table in self._tables:
                used |= table.key_fingerprints(connection)
        return {key: key in self._vault.fingerprints for key in used}

    def _batches(self, table: EncryptedSecrets) -> Iterator[list[EncryptedSecret]]:
        after = ""
        while True:
            with self._database.read() as connection:
                batch = table.under_other_keys(
                    connection, self._vault.first_fingerprint, after=after, limit=_BATCH
                )
            if not batch:
                return
            after = batch[-1].id
            yield batch

    def _run_batch(
        self,
        table: EncryptedSecrets,
        batch: list[EncryptedSecret],
        before: Progress,
        context: ActionContext,
    ) -> Progress:
        reencrypted = [(secret, self._reencrypted(secret)) for secret in batch]
        readable = [
            (secret, encrypted) for secret, encrypted in reencrypted if encrypted is not None
        ]
        with self._database.write(dry_run=context.dry_run) as tx:
            # Actions change rows in another order: without the lock both could deadlock.
            ring_versions.lock(tx)
            changed = sum(table.reencrypt(tx, secret, *encrypted) for secret, encrypted in readable)
            if changed:
                now, action = self._clock.read(tx), Action.SECRETS_REENCRYPTED
                details: Details = {
                    "rows": changed,
                    "encryption_key": self._vault.first_fingerprint,
                }
                record(tx, context, action, table.table_name, now=now, details=details)
        return Progress(
            seen=before.seen + len(batch),
            reencrypted=before.reencrypted + changed,
            unreadable=before.unreadable + len(batch) - len(readable),
        )

    def _reencrypted(self, secret: EncryptedSecret) -> tuple[str, str] | None:
        try:
            return self._vault.encrypt(self._vault.decrypt(secret.ciphertext))
        except VaultError:
            return None
