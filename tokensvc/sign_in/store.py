"""The reads of a sign-in: the account, the address, and the standings at that moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.store import Account, account_of, select_with_account
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.standing import store as standings
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.rules import Epochs, RingVersion

_user_id: sa.BindParameter[str] = sa.bindparam("user_id")
_last_sign_in = lock_outs.last_sign_in(_user_id, sa.bindparam("address_hash"))
_WITH_ACCOUNT = select_with_account(
    standings.SELECT_FOR_SIGN_IN.add_columns(_last_sign_in), _user_id
)


@dataclass(frozen=True, slots=True)
class SignInStanding:
    """
    The standings that a new session depends on.

    Attributes:
        now: Epoch seconds of the database's clock.
        epochs: Epochs of the session.
        suspended: Whether the user is suspended.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
    """

    now: float
    epochs: Epochs
    suspended: bool
    signing_ring_version: RingVersion


@dataclass(frozen=True, slots=True)
class SignInRead:
    """
    What an attempt to sign in depends on.

    Attributes:
        standing: Standings of the same moment as the account: the epochs are not newer than the
            password hash.
        last_signed_in_at: Time of the last sign-in of this account from the address, or of a
            refresh on a later day, in epoch seconds; `None` if it is not one of the last addresses.
        account: Account of the ID, also a deleted one; `None` for an unknown ID.
    """

    standing: SignInStanding
    last_signed_in_at: int | None
    account: Account | None


class SignInReads:
    """
    Reads what sign-ins depend on, each time in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def read(self, user_id: str, address_hash: str) -> SignInRead:
        """Return what an attempt depends on at this moment."""
        values = {"user_id": user_id, "address_hash": address_hash}
        (row, *_), now = fetch_clocked(self._database, self._clock, _WITH_ACCOUNT, values)
        *standing, last_signed_in_at = row[:6]
        return SignInRead(self._standing_of(standing, now), last_signed_in_at, account_of(row[6:]))

    def read_standing(self, user_id: str) -> SignInStanding:
        """Return the standings at this moment."""
        values, statement = {"user_id": user_id}, standings.SELECT_FOR_SIGN_IN
        (row, *_), now = fetch_clocked(self._database, self._clock, statement, values)
        return self._standing_of(row, now)

    def _standing_of(self, columns: Sequence[Any], now: float) -> SignInStanding:
        user_epoch, app_epoch, suspended_at, counter, ring_id = columns
        return SignInStanding(
            now=now,
            epochs=Epochs(user=user_epoch or 0, app=app_epoch),
            suspended=suspended_at is not None,
            signing_ring_version=RingVersion(counter, ring_id),
        )
