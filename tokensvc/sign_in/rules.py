"""One attempt to sign in."""

from dataclasses import dataclass
from typing import Final

from tokensvc.accounts.lock_out.rules import Counter, CounterKind
from tokensvc.accounts.store import Account
from tokensvc.standing.rules import Epochs

SUSPENDED: Final = "suspended"
"""Reason of a refusal: the password is right, and the user is suspended."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    An attempt to sign in that counts as a failure until its success.

    Attributes:
        user_hash: Keyed hash of the user ID, of the shared counter.
        address_hash: Keyed hash of the address.
        own_hash: Keyed hash of the user ID and the address, of the own counter.
        is_known: Whether the account knows the address.
        counter: Counter that has this attempt.
        wait: Seconds that other addresses must wait; `LOCKED`, or 0 if the shared counter
            allowed the attempt.
        epochs: Epochs that are not newer than the password hash.
        suspended: Whether the user is suspended.
        account: Account of the ID, also a deleted one; `None` for an unknown ID.
    """

    user_id: str
    user_hash: str
    address_hash: str
    own_hash: str
    is_known: bool
    counter: Counter
    wait: float
    epochs: Epochs
    suspended: bool
    account: Account | None

    @property
    def audit_subject(self) -> str:
        """Subject of audit events. An unknown ID may be a password that a user typed there."""
        return f"unknown:{self.user_hash}" if self.account is None else self.user_id

    @property
    def counter_key(self) -> str:
        """Keyed hash that identifies the counter."""
        return self.user_hash if self.counter.kind is CounterKind.SHARED else self.own_hash

    @property
    def stored_hash(self) -> str | None:
        """Password hash of the account, if it has one."""
        return None if self.account is None else self.account.password_hash


def why_refused(attempt: Attempt, *, is_right: bool) -> str | None:
    """Return why an attempt is refused, for the log and the audit trail; `None` if it is not."""
    if attempt.account is None:
        return "unknown user"
    if attempt.account.deleted_at is not None:
        return "deleted account"
    if attempt.account.password_hash is None:
        return "no password"
    if not is_right:
        return "wrong password"
    if attempt.wait and not attempt.is_known:
        return "locked out"
    return SUSPENDED if attempt.suspended else None
