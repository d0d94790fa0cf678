"""The purge of what accounts leave behind: expired codes, old failures and old addresses."""

from tokensvc.accounts import lock_out_store as lock_outs
from tokensvc.accounts import store
from tokensvc.accounts.lock_out import KNOWN_ADDRESS_SECONDS
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

BATCH = 500


class AccountPurge:
    """
    Deletes rows that nothing reads any more.

    Args:
        clock: Clock of the database.
    """

    def __init__(self, database: Database, clock: DatabaseClock) -> None:
        self._database = database
        self._clock = clock

    def step(self) -> bool:
        """
        Delete one batch of each kind.

        Returns:
            Whether more may be left.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            now = self._clock.read(tx)
            purged = (
                store.purge_codes(tx, now, BATCH),
                lock_outs.purge_failures(tx, now, BATCH),
                lock_outs.purge_addresses(tx, now - KNOWN_ADDRESS_SECONDS, BATCH),
            )
        return max(purged) == BATCH
