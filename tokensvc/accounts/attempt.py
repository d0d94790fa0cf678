"""One attempt to sign in."""

from dataclasses import dataclass

from tokensvc.accounts.lock_out import Counter
from tokensvc.accounts.store import Account
from tokensvc.standing.rules import Epochs


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    An attempt to sign in that counts as a failure until its success.

    Attributes:
        subject: Keyed hash of the user ID.
        address_hash: Keyed hash of the address.
        counter_subject: Keyed hash that identifies the counter.
        counter: Counter of the address, this attempt included.
        epochs: Epochs that are not newer than the password hash.
        suspended: Whether the user is suspended.
        account: Account of the ID, also a deleted one; `None` for an unknown ID.
    """

    user_id: str
    subject: str
    address_hash: str
    counter_subject: str
    counter: Counter
    epochs: Epochs
    suspended: bool
    account: Account | None

    @property
    def audit_subject(self) -> str:
        """Subject of audit events. An unknown ID may be a password that a user typed there."""
        return f"unknown:{self.subject}" if self.account is None else self.user_id

    @property
    def stored_hash(self) -> str | None:
        """Password hash of the account, if it has one."""
        return None if self.account is None else self.account.password_hash
