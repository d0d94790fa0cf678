"""What the services of accounts have in common."""

from collections.abc import Callable
from dataclasses import dataclass

from tokensvc.accounts.passwords.hashing import PasswordHasher
from tokensvc.accounts.passwords.rules import CheckPassword
from tokensvc.accounts.settings import AccountSettings
from tokensvc.audit.rules import Details
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.user_ids import Alphabet
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.standing.rules import RevocationKind
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.vault.hashes import KeyedHashes


@dataclass(frozen=True, slots=True)
class Dependencies:
    """
    Objects that the services of accounts use.

    Attributes:
        alphabet: Characters of a user ID.
        revoke_within: Function that revokes all sign-ins of a user in a transaction, and returns
            the details of its event.
        erase_within: Function that erases a user in a transaction, and returns the details of its
            event.
        confirm_revocation: Function to call after the commit and before the response.
        hashes: Keyed hashes of user IDs and addresses.
    """

    database: Database
    database_clock: DatabaseClock
    settings: AccountSettings
    alphabet: Alphabet
    check_password: CheckPassword
    hasher: PasswordHasher
    deliveries: Deliveries
    revoke_within: Callable[[Transaction, str, RevocationKind, ActionContext], Details]
    erase_within: Callable[[Transaction, str, ActionContext], Details]
    confirm_revocation: Callable[[Target], object]
    hashes: KeyedHashes
