"""Builds all objects from the settings. Each process calls `build`."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tokensvc.app.accounts import AccountDependencies, AccountServices, build_accounts
from tokensvc.app.background import BackgroundLoop, other_loops
from tokensvc.app.key_files import SECRETS, KeyFiles
from tokensvc.audit.service import AuditTrail
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.callers.service import Callers
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.clients.usage import SecretUsage
from tokensvc.config.loader import Settings
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.delivery.sender import Sender
from tokensvc.delivery.service import Deliveries
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.keys.active_key_check import ActiveKeyCheck
from tokensvc.keys.reencryption import Reencryption
from tokensvc.keys.rotation import StreamKeyRotation
from tokensvc.keys.service import StreamKeys
from tokensvc.keys.unnamed_mints import UnnamedMints
from tokensvc.keys.vault import Vault
from tokensvc.keys.verification import CheckKeyPair
from tokensvc.limits.service import Limiter
from tokensvc.ops.checks import checks
from tokensvc.ops.health import ReadinessLook
from tokensvc.recovery.service import Recovery
from tokensvc.revocations.clock_faults import ClockFaults
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.service import Sessions
from tokensvc.standing.rules import RingVersion
from tokensvc.standing.session_read import SessionReads
from tokensvc.standing.store import StandingStore, signing_ring_now
from tokensvc.stream.api import KeyCheck, StreamApi, check_key
from tokensvc.tokens.service import TokenService

_BACKGROUND_THREADS = 12
"""Threads that use the database and serve no request: twelve loops."""

_DELIVERY_INTERVAL = 0.2
"""Seconds between two checks for due deliveries: the maximum delay of a revocation."""


@dataclass(frozen=True, slots=True)
class Services:
    """
    The objects that routes and commands call.

    Attributes:
        accounts: `None` if built-in accounts are off.
    """

    settings: Settings
    database: Database
    standings: StandingStore
    keys: StreamKeys
    clients: Clients
    client_administration: ClientAdministration
    issuers: Issuers
    limiter: Limiter
    callers: Callers
    tokens: TokenService
    revocations: Revocations
    clock_faults: ClockFaults
    deliveries: Deliveries
    sender: Sender
    sessions: Sessions
    accounts: AccountServices | None
    delivery_loop: BackgroundLoop
    rotation: StreamKeyRotation
    reencryption: Reencryption
    audit: AuditTrail
    recovery: Recovery
    readiness: ReadinessLook
    other_loops: tuple[BackgroundLoop, ...]

    def start(self) -> None:
        """Start the background loops of a process that serves requests; first, look once."""
        self.issuers.prepare()
        self.readiness.look()
        if self.deliveries.delivers and self.settings.worker.embedded:
            self.delivery_loop.start()
        for loop in self.other_loops:
            loop.start()

    def stop(self) -> None:
        """Stop the background loops after their current step, delivery first."""
        self.sender.stop()
        for loop in (self.delivery_loop, *self.other_loops):
            loop.stop()

    def close(self) -> None:
        """Stop the background loops and close the database connections."""
        self.stop()
        if self.accounts is not None:
            self.accounts.hashing_pool.close()
        self.database.close()


def open_database(settings: Settings) -> Database:
    """Open the database with one connection per thread."""
    return Database.open(
        settings.database_url.get_secret_value(), pool_size=settings.threads + _BACKGROUND_THREADS
    )


def build(
    settings: Settings,
    key_files: KeyFiles | None = None,
    *,
    issuer_keys: Callable[[Database], IssuerKeyStore] = IssuerKeyStore,
) -> Services:
    """
    Build all services.

    Does not wait for a network.

    Args:
        settings: All settings.
        key_files: Keys that this process or its master has read; `None`: they are read now.
        issuer_keys: Function that returns the store for issuers' keys.

    Raises:
        StartupError: The operator must change something first.
    """
    database = open_database(settings)
    key_files = key_files or KeyFiles.read(settings, database)
    clock = DatabaseClock(database, system_clock)
    vault = Vault(key_files.encryption_keys)
    session_reads = SessionReads(database, system_clock)
    sessions = Sessions(database, clock, session_reads, vault, settings.sessions)
    keys = StreamKeys(database, vault)
    standings = StandingStore(database, system_clock)
    clients = Clients(database, system_clock)
    # Requests that wait for other services use at most half of the threads.
    wait_slots = threading.BoundedSemaphore(max(1, settings.threads // 2))
    issuers = _issuers(settings, key_files, issuer_keys(database), wait_slots)
    secret_usage = SecretUsage(database, system_clock)
    unnamed_mints = UnnamedMints(database, system_clock)
    limiter = Limiter(settings.limits, settings.redis_url)
    sender, delivers = _sender(settings, database, clock, keys), settings.stream.delivers
    audit = AuditTrail(database, clock, settings.audit.retention)
    revocations = _revocations(settings, database, clock, wait_slots, sessions)
    clock_faults = ClockFaults(database, clock)
    deliveries = Deliveries(database, clock, sender.refused_keys, delivers=delivers)
    accounts = build_accounts(
        AccountDependencies(
            settings=settings,
            database=database,
            clock=clock,
            vault=vault,
            keys=keys,
            wait_slots=wait_slots,
            deliveries=deliveries,
            revocations=revocations,
            sessions=sessions,
            limiter=limiter,
            sign_in_secret=key_files.encryption_keys[0],
        )
    )
    callers = Callers(
        issuers=issuers,
        clients=clients,
        standings=standings,
        limiter=limiter,
        secret_usage=secret_usage,
        access_tokens=_access_token_callers(
            accounts, sessions, clients, standings, partial(signing_ring_now, database, clock)
        ),
    )
    check_key_pair = _check_key_pair(settings)
    active_key_check = ActiveKeyCheck(keys, check_key_pair, time.monotonic)
    readiness = ReadinessLook(
        checks(
            database=database,
            keys=keys,
            signing_keys=accounts.signing_keys if accounts is not None else None,
            issuers=issuers,
            deliveries=deliveries,
            clock_faults=clock_faults,
            active_key_check=active_key_check,
        ),
        time.monotonic,
    )
    return Services(
        settings=settings,
        database=database,
        standings=standings,
        keys=keys,
        clients=clients,
        client_administration=ClientAdministration(database, system_clock),
        issuers=issuers,
        limiter=limiter,
        callers=callers,
        tokens=_tokens(settings, callers, keys, unnamed_mints),
        revocations=revocations,
        clock_faults=clock_faults,
        deliveries=deliveries,
        sender=sender,
        sessions=sessions,
        accounts=accounts,
        delivery_loop=BackgroundLoop("delivery", sender.step, _DELIVERY_INTERVAL),
        rotation=StreamKeyRotation(database, clock, vault, check_key_pair, wait_slots=wait_slots),
        reencryption=Reencryption(database, clock, vault, SECRETS),
        audit=audit,
        recovery=Recovery(database, clock, revocations),
        readiness=readiness,
        other_loops=other_loops(
            issuers=issuers,
            secret_usage=secret_usage,
            unnamed_mints=unnamed_mints,
            audit=audit,
            revocations=revocations,
            readiness=readiness,
            active_key_check=active_key_check,
            sessions=sessions,
            codes=accounts.codes if accounts is not None else None,
            sign_ins=accounts.sign_ins if accounts is not None else None,
            signing=accounts.signing_rotation if accounts is not None else None,
        ),
    )


def _access_token_callers(
    accounts: AccountServices | None,
    sessions: Sessions,
    clients: Clients,
    standings: StandingStore,
    signing_ring_now: Callable[[], tuple[float, RingVersion]],
) -> AccessTokenCallers | None:
    if accounts is None:
        return None
    return AccessTokenCallers(
        tokens=accounts.access_tokens,
        sessions=sessions,
        clients=clients,
        standings=standings,
        signing_ring_now=signing_ring_now,
        host_clock=system_clock,
    )


def _issuers(
    settings: Settings, key_files: KeyFiles, store: IssuerKeyStore, wait_slots: threading.Semaphore
) -> Issuers:
    return Issuers(
        settings.issuers,
        settings.jwks,
        settings.user_ids.alphabet,
        store,
        system_clock,
        key_files=key_files.issuer_keys,
        wait_slots=wait_slots,
    )


def _tokens(
    settings: Settings,
    callers: Callers,
    keys: StreamKeys,
    unnamed_mints: UnnamedMints,
) -> TokenService:
    return TokenService(
        callers=callers,
        keys=keys,
        unnamed_mints=unnamed_mints,
        settings=settings.token,
        alphabet=settings.user_ids.alphabet,
        clock=system_clock,
        random=random.SystemRandom().random,
    )


def _revocations(
    settings: Settings,
    database: Database,
    clock: DatabaseClock,
    wait_slots: threading.Semaphore,
    sessions: Sessions,
) -> Revocations:
    return Revocations(
        database,
        clock,
        _sources(settings),
        delivers=settings.stream.delivers,
        wait_slots=wait_slots,
        count_sessions=sessions.count_live,
    )


def _check_key_pair(settings: Settings) -> CheckKeyPair | None:
    def check(api_key: str, secret: bytes) -> KeyCheck:
        base_url = settings.stream.base_url
        return check_key(base_url=base_url, api_key=api_key, secret=secret, clock=system_clock)

    return check if settings.stream.delivers else None


def _sender(
    settings: Settings, database: Database, clock: DatabaseClock, keys: StreamKeys
) -> Sender:
    return Sender(
        database=database,
        clock=clock,
        ring_at=keys.ring_at,
        api=StreamApi(settings.stream.base_url, system_clock),
        host_clock=system_clock,
        random_fraction=random.SystemRandom().random,
        monotonic=time.monotonic,
    )


def _sources(settings: Settings) -> list[Source]:
    """Return the sources of user IDs."""
    return [
        Source(prefix=issuer.user_id_prefix, by_issue_time=issuer.sign_in_time == "iat")
        for issuer in settings.issuers
    ]
