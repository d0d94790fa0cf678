"""The accounts of a database without a running service."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from testing.erasures import erasures_on
from testing.sessions import HASHES, sessions_on
from tokensvc.accounts import store
from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.passwords.foreign_hashes import verify_hash
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.passwords.rules import check_new_password
from tokensvc.accounts.service import Accounts, SignUpRequest
from tokensvc.accounts.settings import AccountSettings
from tokensvc.accounts.store import Account
from tokensvc.accounts.stream_users import stream_has
from tokensvc.accounts.transfer import AccountTransfer
from tokensvc.audit.tables import audit_events
from tokensvc.core.clock import Clock
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations.service import Revocations
from tokensvc.sign_in.attempts import PasswordAttempts
from tokensvc.sign_in.store import SignInReads
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.keys.states import KeyState

PASSWORD = "copper lantern drifts home"
NEW_PASSWORD = "quiet harbour sings twice"
STREAM_KEYS = {"k1": "secret-of-the-stream-app-0123456789abcdef"}


class MeetingHasher(PasswordHasher):
    """
    Hashes when two requests have arrived: both have passed their checks.

    Attributes:
        meets: Whether it waits for the second request.
    """

    def __init__(self) -> None:
        super().__init__(HashingPool(2, WaitSlots(4)))
        self.meets = True
        self._both = threading.Barrier(2, timeout=60)

    def hash(self, password: str) -> str:
        if self.meets:
            self._both.wait()
        return super().hash(password)


@dataclass
class AccountParts:
    """
    The services of accounts as a process has them.

    Args:
        clock: Clock that SQLite uses.
        stream_url: URL of Stream; `None` if delivery is off.
        hasher: Hasher of passwords.
    """

    database: Database
    clock: Clock
    settings: AccountSettings = field(default_factory=lambda: AccountSettings(sign_up="open"))
    stream_url: str | None = None
    hasher: PasswordHasher = field(
        default_factory=lambda: PasswordHasher(HashingPool(2, WaitSlots(10)))
    )

    def __post_init__(self) -> None:
        self.now = now = DatabaseClock(self.database, self.clock)
        is_delivery_on = self.stream_url is not None
        self.sessions = sessions_on(self.database, self.clock)
        self.wait_slots = WaitSlots(1)
        self.revocations = Revocations(
            self.database,
            now,
            [],
            is_delivery_on=is_delivery_on,
            wait_slots=self.wait_slots,
            count_sessions=self.sessions.count_open,
        )
        self.deliveries = Deliveries(self.database, now, dict, is_delivery_on=is_delivery_on)
        self.erasures = erasures_on(self.database, now, self.revocations, self.deliveries)
        reads = SignInReads(self.database, self.clock)
        self.sign_ins = PasswordAttempts(self.database, now, reads, self.hasher, HASHES)
        shared = Dependencies(
            database=self.database,
            database_clock=now,
            settings=self.settings,
            alphabet=Alphabet.DOCUMENTED,
            check_password=partial(
                check_new_password, self.settings.min_password, "https://tokens.example"
            ),
            hasher=self.hasher,
            deliveries=self.deliveries,
            revoke_within=self.revocations.revoke_within,
            erase_within=self.erasures.erase_within,
            confirm_revocation=self.revocations.confirm,
            hashes=HASHES,
        )
        self.accounts = Accounts(shared, self._stream_has())
        self.codes = AccountCodes(shared)
        self.transfer = AccountTransfer(shared)

    def _stream_has(self) -> Callable[[str], bool] | None:
        if self.stream_url is None:
            return None
        ((api_key, secret),) = STREAM_KEYS.items()
        key = StreamKey(api_key, secret.encode(), KeyState.ACTIVE)
        ring = StreamKeyRing(RingVersion(1, ""), [key])
        api = StreamApi(self.stream_url, time.time)
        return partial(stream_has, api, lambda: ring, self.wait_slots)

    def sign_up(self, user_id: str = "ada", password: str = PASSWORD, **more: Any) -> Any:
        """Sign a user up; nothing counts the attempt."""
        return self.accounts.sign_up(SignUpRequest(user_id, password, **more), lambda: None)

    def account(self, user_id: str = "ada") -> Account | None:
        with self.database.read() as connection:
            return store.find(connection, user_id)

    def has_password(self, password: str, user_id: str = "ada") -> bool:
        """Return whether an account has this password."""
        account = self.account(user_id)
        stored = None if account is None else account.password_hash
        return stored is not None and verify_hash(stored, password)

    def events(self) -> list[tuple[str, str, str]]:
        """Return (actor, action, subject) of all audit events, oldest first."""
        columns = audit_events.c
        query = sa.select(columns.actor, columns.action, columns.subject).order_by(columns.id)
        with self.database.read() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]
