"""The one read of a sign-in: the account, the address, and the standings at that moment."""

from dataclasses import dataclass

import sqlalchemy as sa

from tokensvc.accounts import lock_out_store as lock_outs
from tokensvc.accounts.store import Account
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.database.tables import accounts
from tokensvc.standing import store as standings
from tokensvc.standing.clocked_read import ClockedRead
from tokensvc.standing.rules import Epochs, RingVersion

_user_id: sa.BindParameter[str] = sa.bindparam("user_id")
_STATEMENT = standings.select_for_sign_in(
    accounts,
    accounts.c.user_id == _user_id,
    (*accounts.c, lock_outs.last_sign_in(_user_id, sa.bindparam("address_hash"))),
)


@dataclass(frozen=True, slots=True)
class SignInRead:
    """
    What a sign-in depends on.

    The password hash is not older than the epochs: whatever changes the password raises them.

    Attributes:
        now: Epoch seconds of the database's clock.
        epochs: Epochs of a session that begins now.
        suspended: Whether the user is suspended.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
        account: Account of the ID, also a deleted one; `None` for an unknown ID.
        last_signed_in_at: Time of the last sign-in of this account from the address, in epoch
            seconds; `None` if it is not one of the last addresses.
    """

    now: float
    epochs: Epochs
    suspended: bool
    signing_ring_version: RingVersion
    account: Account | None
    last_signed_in_at: int | None


class SignInReads:
    """
    Reads what sign-ins depend on, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._read = ClockedRead(database, clock, _STATEMENT)

    def read(self, user_id: str, address_hash: str) -> SignInRead:
        """
        Return what a sign-in depends on at this moment.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        row, now = self._read.fetch({"user_id": user_id, "address_hash": address_hash})
        user_epoch, app_epoch, suspended_at, counter, ring_id, *account, last_signed_in_at = row
        return SignInRead(
            now=now,
            epochs=Epochs(user=user_epoch or 0, app=app_epoch),
            suspended=suspended_at is not None,
            signing_ring_version=RingVersion(counter, ring_id),
            account=None if account[0] is None else Account(*account),
            last_signed_in_at=last_signed_in_at,
        )
