"""What the services of accounts have in common."""

from dataclasses import dataclass

from tokensvc.accounts.hashing import PasswordHasher
from tokensvc.accounts.password_policy import PasswordPolicy
from tokensvc.accounts.settings import AccountSettings
from tokensvc.accounts.sign_in import SignIns
from tokensvc.core.user_ids import Alphabet
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations.service import Revocations
from tokensvc.stream.delivery.service import Deliveries


@dataclass(frozen=True, slots=True)
class Dependencies:
    """
    Objects that the services of accounts use.

    Attributes:
        clock: Clock of the database.
        alphabet: Characters of a user ID.
    """

    database: Database
    clock: DatabaseClock
    settings: AccountSettings
    alphabet: Alphabet
    policy: PasswordPolicy
    hasher: PasswordHasher
    deliveries: Deliveries
    revocations: Revocations
    sign_ins: SignIns
