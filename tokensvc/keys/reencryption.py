"""
Wrap every secret anew with the first encryption key, so that the others can be left.

Goes on beside traffic and acts, from several processes at once, and from where it was stopped: each
row is swapped only if it still holds the ciphertext that was read, and what is done is not found
again. The ring's version stays, since the secrets do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.keys import store
from tokensvc.keys.store import WrappedRow
from tokensvc.keys.vault import Vault, VaultError
from tokensvc.standing import store as standings

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far it has come.

    Attributes:
        seen: Rows under other keys that were looked at.
        rewrapped: Those of them that are under the first key now.
        unreadable: Those of them that no key of this process unwraps.
    """

    seen: int = 0
    rewrapped: int = 0
    unreadable: int = 0


class Reencryption:
    """
    Moves secrets to the first encryption key.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Args:
        clock: The database's.
    """

    def __init__(self, database: Database, clock: DatabaseClock, vault: Vault) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault

    def run(self, context: ActionContext) -> Iterator[Progress]:
        """Do it, a batch at a time, and tell after each how far it has come."""
        progress, after = Progress(), ""
        while True:
            with self._database.read() as connection:
                rows = store.under_other_keys(
                    connection, self._vault.wrapped_by, after=after, limit=_BATCH
                )
            if not rows:
                return
            after = rows[-1].id
            progress = self._do(rows, progress, context)
            yield progress

    def remaining(self) -> dict[str, int]:
        """Count the rows that other keys have wrapped, by the fingerprint of the key."""
        with self._database.read() as connection:
            counts = store.count_by_encryption_key(connection)
        return {key: count for key, count in counts.items() if key != self._vault.wrapped_by}

    def _do(self, rows: list[WrappedRow], before: Progress, context: ActionContext) -> Progress:
        anew = {row: self._rewrap(row) for row in rows}
        readable = {row: wrapped for row, wrapped in anew.items() if wrapped is not None}
        with self._database.write(dry_run=context.dry_run) as tx:
            # An act changes rows in another order: without the lock the two could wait for ever.
            standings.lock_ring(tx)
            swapped = sum(store.rewrap(tx, row, *wrapped) for row, wrapped in readable.items())
            if swapped:
                reason = f"{swapped} now under {self._vault.wrapped_by}"
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
            seen=before.seen + len(rows),
            rewrapped=before.rewrapped + swapped,
            unreadable=before.unreadable + len(rows) - len(readable),
        )

    def _rewrap(self, row: WrappedRow) -> tuple[str, str] | None:
        try:
            return self._vault.wrap(self._vault.unwrap(row.ciphertext))
        except VaultError:
            return None
