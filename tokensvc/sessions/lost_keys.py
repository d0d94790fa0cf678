"""Sessions whose key is encrypted with an encryption key that this process does not have."""

from typing import Final

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.sessions import store
from tokensvc.vault.vault import Vault

_BATCH: Final = 500


class LostFamilyKeys:
    """Finds sessions that cannot be refreshed here, and deletes them."""

    def __init__(self, database: Database, database_clock: DatabaseClock, vault: Vault) -> None:
        self._database = database
        self._clock = database_clock
        self._vault = vault

    def missing_encryption_keys(self) -> set[str]:
        """Return the fingerprints of keys that stored sessions need and this process lacks."""
        with self._database.read() as connection:
            return store.FAMILY_KEYS.key_fingerprints(connection) - self._vault.fingerprints

    def delete_sessions(self, context: ActionContext) -> int:
        """
        Delete the sessions under keys that this process lacks: their users sign in again.

        Returns:
            Number of sessions that were deleted, or would be in a dry run.
        """
        missing = self.missing_encryption_keys()
        if not context.dry_run:
            return sum(self._delete(key, context) for key in missing)
        with self._database.read() as connection:
            counts = store.FAMILY_KEYS.count_under_other_keys(
                connection, self._vault.first_fingerprint
            )
        return sum(count for key, count in counts.items() if key in missing)

    def _delete(self, encrypted_with: str, context: ActionContext) -> int:
        deleted = 0
        while batch := self._delete_batch(encrypted_with, context):
            deleted += batch
        return deleted

    def _delete_batch(self, encrypted_with: str, context: ActionContext) -> int:
        with self._database.write() as tx:
            deleted = store.delete_encrypted_with(tx, encrypted_with, limit=_BATCH)
            if deleted:
                action, subject = Action.SESSION_ENDED, store.FAMILY_KEYS.table_name
                details: Details = {"sessions": deleted, "lost_encryption_key": encrypted_with}
                record(tx, context, action, subject, now=self._clock.read(tx), details=details)
        return deleted
