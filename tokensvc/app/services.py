"""The record of all services of a process. `build` fills it."""

from collections.abc import Callable
from dataclasses import dataclass

from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.passwords.hashing import HashingPool
from tokensvc.accounts.reads import AccountReads
from tokensvc.accounts.service import Accounts
from tokensvc.accounts.transfer import AccountTransfer
from tokensvc.app.key_files import KeyFiles
from tokensvc.audit.service import AuditTrail
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.callers.service import Callers
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.database.pending import PendingWrites
from tokensvc.issuers.service import Issuers
from tokensvc.limits.service import Limiter
from tokensvc.ops.collector import MetricSources, collect
from tokensvc.ops.health import ReadinessProbe
from tokensvc.revocations.clock_faults import ClockFaults
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.events.service import ProviderEvents
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.lost_keys import LostFamilyKeys
from tokensvc.sessions.oauth.grant import OAuth
from tokensvc.sessions.service import Sessions
from tokensvc.sign_in.service import PasswordSessions
from tokensvc.standing.rules import RingVersion
from tokensvc.standing.store import StandingStore
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery.sender import Sender
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.tokens.service import TokenService
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.reencryption import Reencryption
from tokensvc.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Base:
    """
    What the other services are built from. Only the functions that build take it.

    Attributes:
        hashes: Keyed hashes of user IDs and addresses.
        wait_slots: Slots for requests that wait.
        random: Function that returns a random number from 0 to 1.
    """

    settings: Settings
    database: Database
    key_files: KeyFiles
    database_clock: DatabaseClock
    vault: Vault
    hashes: KeyedHashes
    wait_slots: WaitSlots
    limiter: Limiter
    random: Callable[[], float]

    @property
    def clock(self) -> Clock:
        """Clock of this host."""
        return self.database_clock.host


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StreamServices:
    """The key ring of Stream, and what calls Stream."""

    keys: StreamKeys
    rotation: StreamKeyRotation
    unnamed_mints: PendingWrites[int]
    active_key_check: ActiveKeyCheck
    api: StreamApi
    sender: Sender
    deliveries: Deliveries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AccountServices:
    """Services for built-in accounts."""

    signing_keys: SigningKeys
    signing_rotation: SigningKeyRotation
    access_tokens: AccessTokens
    signing_ring_now: Callable[[], tuple[float, RingVersion]]
    lost_family_keys: LostFamilyKeys
    hashing_pool: HashingPool
    accounts: Accounts
    codes: AccountCodes
    reads: AccountReads
    transfer: AccountTransfer
    password_sessions: PasswordSessions
    oauth: OAuth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Operations:
    """
    What keeps the service healthy.

    Attributes:
        readiness: Checks of `/readyz`, and their last result.
        metric_sources: What the metrics that no request counts are read from.
        clock_faults: Check for cut-offs in the future.
    """

    readiness: ReadinessProbe
    metric_sources: MetricSources
    reencryption: Reencryption
    clock_faults: ClockFaults

    def collect_metrics(self) -> None:
        """Set the metrics that no request counts."""
        collect(self.metric_sources)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Services:
    """
    The objects that routes, commands and background loops call.

    Attributes:
        database_clock: Clock of the database, and of this host.
        vault: Encryption of stored secrets.
        accounts: Services of built-in accounts; `None` if these are off.
        access_token_callers: Callers with an access token of this service; `None` without accounts.
    """

    settings: Settings
    database: Database
    key_files: KeyFiles
    database_clock: DatabaseClock
    vault: Vault
    limiter: Limiter
    standings: StandingStore
    audit: AuditTrail
    issuers: Issuers
    clients: Clients
    client_administration: ClientAdministration
    secret_uses: PendingWrites[str]
    stream: StreamServices
    sessions: Sessions
    revocations: Revocations
    erasures: Erasures
    provider_events: ProviderEvents
    accounts: AccountServices | None
    access_token_callers: AccessTokenCallers | None
    callers: Callers
    tokens: TokenService
    operations: Operations

    def close(self) -> None:
        """End the threads that hash, and close the database connections."""
        if self.accounts is not None:
            self.accounts.hashing_pool.close()
        self.database.close()
