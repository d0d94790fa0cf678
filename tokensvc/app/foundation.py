"""The objects that the others use: database, keys, clients, issuers, limits, deliveries."""

import math
import random
import time
from functools import cached_property

from tokensvc.accounts.store import HAS_ACCOUNT
from tokensvc.app.key_files import SECRETS, KeyFiles
from tokensvc.audit.service import AuditTrail
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.clients.usage import SecretUsage
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.limits.service import Limiter
from tokensvc.revocations.clock_faults import ClockFaults
from tokensvc.standing.store import StandingStore
from tokensvc.stream.api import KeyCheck, StreamApi, check_key
from tokensvc.stream.delivery.sender import Sender
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.unnamed_mints import UnnamedMints
from tokensvc.stream.keys.verification import CheckKeyPair
from tokensvc.vault.reencryption import Reencryption
from tokensvc.vault.vault import Vault

_BACKGROUND_THREADS = 13
"""Threads that use the database and serve no request: thirteen loops."""


class Foundation:
    """
    Objects that use neither sessions nor accounts. Each is built once, with those that it uses.

    Attributes:
        settings: All settings.
        database: The database, open.
        key_files: Keys in files.
        host_clock: Clock of this host.
        clock: Clock of the database.
        vault: Encryption of stored secrets.
        wait_slots: Slots for requests that wait.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        key_files: KeyFiles,
        issuer_keys: IssuerKeyStore,
        host_clock: Clock,
    ) -> None:
        self.settings = settings
        self.database = database
        self.key_files = key_files
        self._issuer_keys = issuer_keys
        self.host_clock = host_clock
        self.clock = DatabaseClock(database, host_clock)
        self.vault = Vault(key_files.encryption_keys)
        self.wait_slots = _wait_slots(settings.threads)

    @cached_property
    def standings(self) -> StandingStore:
        """The reads of the users' and the app's standing."""
        return StandingStore(self.database, self.host_clock, HAS_ACCOUNT)

    @cached_property
    def keys(self) -> StreamKeys:
        """The ring of Stream keys."""
        return StreamKeys(self.database, self.vault)

    @cached_property
    def rotation(self) -> StreamKeyRotation:
        """The actions on Stream keys."""
        return StreamKeyRotation(
            self.database,
            self.clock,
            self.vault,
            self.check_key_pair,
            wait_slots=self.wait_slots,
        )

    @cached_property
    def reencryption(self) -> Reencryption:
        """The change of the encryption key of all wrapped secrets."""
        return Reencryption(self.database, self.clock, self.vault, SECRETS)

    @cached_property
    def active_key_check(self) -> ActiveKeyCheck:
        """The background check of the active Stream key."""
        delivers = self.settings.stream.delivers
        return ActiveKeyCheck(self.keys, self._ask_stream if delivers else None, time.monotonic)

    @cached_property
    def check_key_pair(self) -> CheckKeyPair | None:
        """Function that asks Stream about a key pair; `None` if nothing is delivered."""

        def check(api_key: str, secret: bytes) -> KeyCheck:
            result = self._ask_stream(api_key, secret)
            if not result.accepted:
                self.active_key_check.key_refused()
            return result

        return check if self.settings.stream.delivers else None

    def _ask_stream(self, api_key: str, secret: bytes) -> KeyCheck:
        return check_key(
            base_url=self.settings.stream.base_url,
            api_key=api_key,
            secret=secret,
            clock=self.host_clock,
        )

    @cached_property
    def stream_api(self) -> StreamApi:
        """The calls to Stream. The active key is checked after each that refuses a key."""
        return StreamApi(
            self.settings.stream.base_url, self.host_clock, self.active_key_check.key_refused
        )

    @cached_property
    def clients(self) -> Clients:
        """The authentication of service clients."""
        return Clients(self.database, self.host_clock)

    @cached_property
    def client_administration(self) -> ClientAdministration:
        """The actions on service clients."""
        may_mint = not self.settings.sign_up_takes_any_id
        return ClientAdministration(self.database, self.host_clock, may_mint=may_mint)

    @cached_property
    def secret_usage(self) -> SecretUsage:
        """The times at which client secrets were used."""
        return SecretUsage(self.database, self.host_clock)

    @cached_property
    def unnamed_mints(self) -> UnnamedMints:
        """The number of mints that named no key."""
        return UnnamedMints(self.database, self.host_clock)

    @cached_property
    def issuers(self) -> Issuers:
        """The identity providers."""
        return Issuers(
            self.settings.issuers,
            self.settings.jwks,
            self.settings.user_ids.alphabet,
            self._issuer_keys,
            self.host_clock,
            key_files=self.key_files.issuer_keys,
            wait_slots=self.wait_slots,
        )

    @cached_property
    def limiter(self) -> Limiter:
        """The rate limits."""
        return Limiter(self.settings.limits, self.settings.redis_url)

    @cached_property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        return AuditTrail(self.database, self.clock)

    @cached_property
    def clock_faults(self) -> ClockFaults:
        """The check for cut-offs in the future."""
        return ClockFaults(self.database, self.clock)

    @cached_property
    def sender(self) -> Sender:
        """The sender of deliveries to Stream."""
        return Sender(
            database=self.database,
            clock=self.clock,
            ring_at=self.keys.ring_at,
            api=self.stream_api,
            host_clock=self.host_clock,
            random_fraction=random.SystemRandom().random,
            monotonic=time.monotonic,
        )

    @cached_property
    def deliveries(self) -> Deliveries:
        """The deliveries to Stream."""
        return Deliveries(
            self.database,
            self.clock,
            self.sender.refused_keys,
            delivers=self.settings.stream.delivers,
        )


def _wait_slots(threads: int) -> WaitSlots:
    """Return the slots of a process: a third of its threads, at least one, remains for mints."""
    number = threads - math.ceil(threads / 3)
    quarter = number // 4
    return WaitSlots(number, for_passwords=number // 2, for_known=quarter, for_outside=quarter)


def open_database(settings: Settings, *, creates: bool = False) -> Database:
    """
    Open the database with one connection per thread.

    Args:
        creates: Whether to create a missing SQLite file, which would not know who is refused.
    """
    return Database.open(
        settings.database_url.get_secret_value(),
        pool_size=settings.threads + _BACKGROUND_THREADS,
        creates=creates,
    )
