"""Builds the record of services from the settings."""

import math
from collections.abc import Callable
from random import SystemRandom

from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.store import HAS_ACCOUNT
from tokensvc.app.build_accounts import build_accounts
from tokensvc.app.build_operations import build_operations
from tokensvc.app.build_stream import build_stream
from tokensvc.app.key_files import KeyFiles
from tokensvc.app.loops import MAX_LOOPS
from tokensvc.app.services import AccountServices, Services, StreamServices
from tokensvc.audit.service import AuditTrail
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.callers.service import Callers
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.clients.usage import SecretUsage
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.limits.service import Limiter
from tokensvc.recovery.service import Recovery
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.service import Sessions
from tokensvc.standing.store import StandingStore
from tokensvc.tokens.service import TokenService
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.vault import Vault

_system_random = SystemRandom().random


def build(
    settings: Settings,
    key_files: KeyFiles | None = None,
    *,
    issuer_keys: Callable[[Database], IssuerKeyStore] = IssuerKeyStore,
    clock: Clock = system_clock,
    random: Callable[[], float] = _system_random,
) -> Services:
    """
    Build all services, without waiting for a network.

    Args:
        key_files: Keys that this process or its master has read; `None`: they are read now.
        issuer_keys: Function that returns the store for issuers' keys.
        clock: Clock of this host.
        random: Function that returns a random number from 0 to 1.

    Raises:
        StartupError: The operator must change something first.
    """
    database = open_database(settings)
    key_files = key_files or KeyFiles.read(settings, database)
    database_clock = DatabaseClock(database, clock)
    vault = Vault(key_files.encryption_keys)
    hashes = KeyedHashes(key_files.encryption_keys[0])
    wait_slots = _wait_slots(settings.threads)
    limiter = Limiter(settings.limits, settings.redis_url)
    issuers = _issuers(settings, key_files, issuer_keys(database), clock, wait_slots)
    stream = build_stream(settings, database, database_clock, vault, wait_slots, random=random)
    sessions = _sessions(settings, database, database_clock, vault, hashes)
    revocations = _revocations(settings, database, database_clock, wait_slots, sessions)
    accounts = build_accounts(
        settings=settings,
        database=database,
        database_clock=database_clock,
        vault=vault,
        hashes=hashes,
        wait_slots=wait_slots,
        limiter=limiter,
        stream=stream,
        sessions=sessions,
        revocations=revocations,
    )
    return _services(
        settings=settings,
        database=database,
        key_files=key_files,
        database_clock=database_clock,
        vault=vault,
        limiter=limiter,
        issuers=issuers,
        stream=stream,
        sessions=sessions,
        revocations=revocations,
        accounts=accounts,
        random=random,
    )


def _services(
    *,
    settings: Settings,
    database: Database,
    key_files: KeyFiles,
    database_clock: DatabaseClock,
    vault: Vault,
    limiter: Limiter,
    issuers: Issuers,
    stream: StreamServices,
    sessions: Sessions,
    revocations: Revocations,
    accounts: AccountServices | None,
    random: Callable[[], float],
) -> Services:
    """Build the callers, and what serves them."""
    standings = StandingStore(database, database_clock.host, HAS_ACCOUNT)
    clients = Clients(database, database_clock.host)
    secret_usage = SecretUsage(database, database_clock.host)
    own_callers = _own_callers(accounts, sessions, clients, standings, database_clock.host)
    callers = _callers(
        settings, issuers, clients, standings, limiter, usage=secret_usage, own_callers=own_callers
    )
    operations = build_operations(
        settings,
        database,
        database_clock,
        vault,
        issuers,
        clients=clients,
        stream=stream,
        accounts=accounts,
    )
    return Services(
        settings=settings,
        database=database,
        key_files=key_files,
        database_clock=database_clock,
        vault=vault,
        limiter=limiter,
        standings=standings,
        audit=AuditTrail(database, database_clock),
        issuers=issuers,
        clients=clients,
        client_administration=ClientAdministration(
            database, database_clock, may_mint=not settings.sign_up_takes_any_id
        ),
        secret_usage=secret_usage,
        stream=stream,
        sessions=sessions,
        revocations=revocations,
        accounts=accounts,
        access_token_callers=own_callers,
        callers=callers,
        tokens=_tokens(settings, callers, stream, database_clock.host, random),
        recovery=Recovery(database, database_clock, revocations),
        operations=operations,
    )


def open_database(settings: Settings, *, creates: bool = False) -> Database:
    """
    Open the database with one connection per thread and background loop.

    Args:
        creates: Whether to create a missing SQLite file, which would not know who is refused.
    """
    return Database.open(
        settings.database_url.get_secret_value(),
        pool_size=settings.threads + MAX_LOOPS,
        creates=creates,
    )


def _wait_slots(threads: int) -> WaitSlots:
    """Return the slots of a process: a third of its threads, at least one, remains for mints."""
    number = threads - math.ceil(threads / 3)
    quarter = number // 4
    return WaitSlots(number, for_passwords=number // 2, for_known=quarter, for_outside=quarter)


def _issuers(
    settings: Settings,
    key_files: KeyFiles,
    store: IssuerKeyStore,
    clock: Clock,
    wait_slots: WaitSlots,
) -> Issuers:
    return Issuers(
        settings.issuers,
        settings.jwks,
        settings.user_ids.alphabet,
        store,
        clock,
        key_files=key_files.issuer_keys,
        wait_slots=wait_slots,
    )


def _sessions(
    settings: Settings,
    database: Database,
    database_clock: DatabaseClock,
    vault: Vault,
    hashes: KeyedHashes,
) -> Sessions:
    return Sessions(
        database,
        database_clock,
        vault,
        settings.sessions,
        hashes=hashes,
        renew_address=lock_outs.renew_address,
        audits_refreshes=settings.audit.refreshes == "all",
    )


def _revocations(
    settings: Settings,
    database: Database,
    database_clock: DatabaseClock,
    wait_slots: WaitSlots,
    sessions: Sessions,
) -> Revocations:
    sources = [
        Source(prefix=issuer.user_id_prefix, by_issue_time=issuer.sign_in_time == "iat")
        for issuer in settings.issuers
    ]
    return Revocations(
        database,
        database_clock,
        sources,
        delivers=settings.stream.delivers,
        wait_slots=wait_slots,
        count_sessions=sessions.count_live,
    )


def _own_callers(
    accounts: AccountServices | None,
    sessions: Sessions,
    clients: Clients,
    standings: StandingStore,
    clock: Clock,
) -> AccessTokenCallers | None:
    """Return the callers with an access token of this service; `None` without accounts."""
    if accounts is None:
        return None
    return AccessTokenCallers(
        tokens=accounts.access_tokens,
        sessions=sessions,
        clients=clients,
        standings=standings,
        signing_ring_now=accounts.signing_ring_now,
        clock=clock,
    )


def _callers(
    settings: Settings,
    issuers: Issuers,
    clients: Clients,
    standings: StandingStore,
    limiter: Limiter,
    *,
    usage: SecretUsage,
    own_callers: AccessTokenCallers | None,
) -> Callers:
    owns_ids = settings.has_accounts and not settings.shared_user_ids
    return Callers(
        issuers=issuers,
        clients=clients,
        standings=standings,
        limiter=limiter,
        secret_usage=usage,
        access_tokens=own_callers,
        account_prefix=settings.accounts.user_id_prefix if owns_ids else "",
    )


def _tokens(
    settings: Settings,
    callers: Callers,
    stream: StreamServices,
    clock: Clock,
    random: Callable[[], float],
) -> TokenService:
    return TokenService(
        callers=callers,
        keys=stream.keys,
        unnamed_mints=stream.unnamed_mints,
        settings=settings.token,
        alphabet=settings.user_ids.alphabet,
        clock=clock,
        random=random,
    )
