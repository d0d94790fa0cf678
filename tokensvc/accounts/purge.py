"""The purge of what accounts leave behind: expired codes, old failures and old addresses."""

from tokensvc.accounts import store
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.lock_out.rules import KNOWN_ADDRESS_SECONDS
from tokensvc.database.deletion import Purge
from tokensvc.database.engine import Transaction


class AccountPurge(Purge):
    """Deletes rows that nothing reads."""

    def _delete(self, tx: Transaction, now: float) -> int:
        return max(
            store.purge_codes(tx, now, self.batch),
            lock_outs.purge_failures(tx, now, self.batch),
            lock_outs.purge_addresses(tx, now - KNOWN_ADDRESS_SECONDS, self.batch),
        )
