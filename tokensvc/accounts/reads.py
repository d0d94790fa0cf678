"""What an operator sees of accounts."""

from collections.abc import Sequence

import msgspec

from tokensvc.accounts import store
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.service import no_account
from tokensvc.accounts.store import Account


class AccountState(msgspec.Struct, frozen=True):
    """
    An account that is not deleted.

    Attributes:
        user_id: ID of the user, here and on Stream.
        created_at: Time of the sign-up, in epoch seconds.
        has_password: Whether the user can sign in before a reset.
    """

    user_id: str
    created_at: int
    has_password: bool


class AccountReads:
    """Reads accounts."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    def page(self, *, after: str | None, limit: int) -> Sequence[AccountState]:
        """
        Return accounts in the order of their IDs.

        Args:
            after: ID of the last account of the previous page.
        """
        with self._deps.database.read() as connection:
            return [_state(found) for found in store.page(connection, after=after, limit=limit)]

    def find(self, user_id: str) -> tuple[AccountState, int]:
        """
        Return an account, and the number of its failed sign-ins since the last success.

        Raises:
            Refusal: `not_found`.
        """
        with self._deps.database.snapshot() as connection:
            found = store.find(connection, user_id)
            if found is None or found.deleted_at is not None:
                raise no_account()
            return _state(found), lock_outs.failures(connection, user_id, self._deps.hashes)


def _state(account: Account) -> AccountState:
    return AccountState(account.user_id, account.created_at, account.password_hash is not None)
