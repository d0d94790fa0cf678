"""Builds the record of services from the settings."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from random import SystemRandom

from tokensvc.accounts import store as account_rows
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.app.build_accounts import build_accounts
from tokensvc.app.build_operations import build_operations
from tokensvc.app.build_stream import build_stream
from tokensvc.app.key_files import KeyFiles
from tokensvc.app.loops import MAX_LOOPS
from tokensvc.app.services import AccountServices, Base, Services, StreamServices
from tokensvc.audit.service import AuditTrail
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.callers.service import Callers
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients, pending_uses, record_use
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.database.pending import PendingWrites
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.limits.service import Limiter
from tokensvc.revocations.erasures import ErasePart, Erasures
from tokensvc.revocations.events.service import ProviderEvents
from tokensvc.revocations.events.store import PROVIDER_SESSION_HAS_ENDED
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.sessions import store as session_rows
from tokensvc.sessions.service import Sessions
from tokensvc.standing.store import StandingStore
from tokensvc.stream.keys.service import count_mint
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
        random: Function that returns a random number from 0 to 1.

    Raises:
        StartupError: The operator must change something first.
    """
    base = _base(settings, key_files, clock, random)
    issuers = _issuers(base, issuer_keys(base.database))
    stream = build_stream(base)
    sessions = _sessions(base)
    revocations = _revocations(base, sessions)
    erasures = _erasures(base, stream, revocations)
    return _services(
        base,
        issuers,
        stream=stream,
        sessions=sessions,
        revocations=revocations,
        erasures=erasures,
        accounts=build_accounts(base, stream, sessions, revocations, erasures),
    )


def _services(
    base: Base,
    issuers: Issuers,
    *,
    stream: StreamServices,
    sessions: Sessions,
    revocations: Revocations,
    erasures: Erasures,
    accounts: AccountServices | None,
) -> Services:
    """Build the callers, and what serves them."""
    clients = Clients(base.database, base.clock)
    uses = pending_uses(base.database)
    standings = StandingStore(
        base.database, base.clock, account_rows.HAS_ACCOUNT, PROVIDER_SESSION_HAS_ENDED
    )
    own_callers = _own_callers(accounts, sessions, clients, standings, base.clock)
    callers = _callers(
        base, own_callers, uses, issuers=issuers, clients=clients, standings=standings
    )
    return Services(
        settings=base.settings,
        database=base.database,
        key_files=base.key_files,
        database_clock=base.database_clock,
        vault=base.vault,
        limiter=base.limiter,
        standings=standings,
        audit=AuditTrail(base.database, base.database_clock),
        issuers=issuers,
        clients=clients,
        client_administration=_client_administration(base),
        secret_uses=uses,
        stream=stream,
        sessions=sessions,
        revocations=revocations,
        provider_events=ProviderEvents(base.database, base.database_clock, revocations, erasures),
        erasures=erasures,
        accounts=accounts,
        access_token_callers=own_callers,
        callers=callers,
        tokens=_tokens(base, callers, stream),
        operations=build_operations(base, issuers, clients, stream, accounts),
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


def _base(
    settings: Settings, key_files: KeyFiles | None, clock: Clock, random: Callable[[], float]
) -> Base:
    database = open_database(settings)
    key_files = key_files or KeyFiles.read(settings, database)
    return Base(
        settings=settings,
        database=database,
        key_files=key_files,
        database_clock=DatabaseClock(database, clock),
        vault=Vault(key_files.encryption_keys),
        hashes=KeyedHashes(key_files.encryption_keys[0]),
        wait_slots=_wait_slots(settings.threads),
        limiter=Limiter(settings.limits, settings.redis_url),
        random=random,
    )


def _issuers(base: Base, store: IssuerKeyStore) -> Issuers:
    settings = base.settings
    return Issuers(
        settings.issuers,
        settings.jwks,
        settings.user_ids.alphabet,
        store,
        base.clock,
        key_files=base.key_files.issuer_keys,
        wait_slots=base.wait_slots,
    )


def _sessions(base: Base) -> Sessions:
    return Sessions(
        base.database,
        base.database_clock,
        base.vault,
        base.settings.sessions,
        hashes=base.hashes,
        renew_address=lock_outs.renew_address,
        audits_refreshes=base.settings.audit.refreshes == "all",
    )


def _revocations(base: Base, sessions: Sessions) -> Revocations:
    sources = [
        Source(prefix=issuer.user_id_prefix, by_issue_time=issuer.sign_in_time == "iat")
        for issuer in base.settings.issuers
    ]
    return Revocations(
        base.database,
        base.database_clock,
        sources,
        is_delivery_on=base.settings.stream.is_delivery_on,
        wait_slots=base.wait_slots,
        count_sessions=sessions.count_open,
        reach=base.settings.stream.reach,
    )


def erased_parts(hashes: KeyedHashes) -> Mapping[str, ErasePart]:
    """Return the functions that delete the rows of a user, by the members of `ErasedRows`."""
    return {
        "accounts": account_rows.erase,
        "codes": account_rows.erase_codes,
        "addresses": lambda tx, user_id, _: lock_outs.erase(tx, user_id, hashes),
        "sessions": lambda tx, user_id, _: session_rows.erase(tx, user_id),
    }


def _erasures(base: Base, stream: StreamServices, revocations: Revocations) -> Erasures:
    return Erasures(
        base.database,
        base.database_clock,
        revocations=revocations,
        deliveries=stream.deliveries,
        parts=erased_parts(base.hashes),
        modes=base.settings.erasure,
    )


def _client_administration(base: Base) -> ClientAdministration:
    may_mint = not base.settings.sign_up_takes_any_id
    return ClientAdministration(base.database, base.database_clock, may_mint=may_mint)


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
    base: Base,
    own_callers: AccessTokenCallers | None,
    uses: PendingWrites[str],
    *,
    issuers: Issuers,
    clients: Clients,
    standings: StandingStore,
) -> Callers:
    return Callers(
        issuers=issuers,
        clients=clients,
        standings=standings,
        limiter=base.limiter,
        record_use=partial(record_use, uses, base.clock),
        access_tokens=own_callers,
        account_prefix=_account_prefix(base.settings),
    )


def _account_prefix(settings: Settings) -> str:
    """Return the prefix of the IDs that only users with an account have; "" if there are none."""
    owns_ids = settings.has_accounts and not settings.shared_user_ids
    return settings.accounts.user_id_prefix if owns_ids else ""


def _tokens(base: Base, callers: Callers, stream: StreamServices) -> TokenService:
    return TokenService(
        callers=callers,
        keys=stream.keys,
        count_unnamed=partial(count_mint, stream.unnamed_mints, base.clock),
        settings=base.settings.token,
        alphabet=base.settings.user_ids.alphabet,
        random=base.random,
    )
