"""Builds the objects that only built-in accounts need."""

import os
import threading
from dataclasses import dataclass

from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.lock_out import KeyedHashes
from tokensvc.accounts.password_policy import PasswordPolicy
from tokensvc.accounts.service import Accounts
from tokensvc.accounts.sign_in import SignIns
from tokensvc.accounts.stream_users import StreamUsers
from tokensvc.accounts.transfer import AccountTransfer
from tokensvc.config.loader import Settings
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.delivery.service import Deliveries
from tokensvc.keys.service import StreamKeys
from tokensvc.keys.signing_keys import SigningKeys
from tokensvc.keys.signing_rotation import SigningKeyRotation
from tokensvc.keys.signing_rules import SigningPeriods
from tokensvc.keys.vault import Vault
from tokensvc.limits.service import Limiter
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens import AccessTokens
from tokensvc.sessions.lost_keys import LostFamilyKeys
from tokensvc.sessions.service import Sessions
from tokensvc.sessions.sign_in import PasswordSessions
from tokensvc.stream.api import StreamApi


@dataclass(frozen=True, slots=True)
class AccountServices:
    """What only built-in accounts need."""

    signing_keys: SigningKeys
    signing_rotation: SigningKeyRotation
    access_tokens: AccessTokens
    lost_family_keys: LostFamilyKeys
    hashing_pool: HashingPool
    accounts: Accounts
    codes: AccountCodes
    transfer: AccountTransfer
    sign_ins: SignIns
    password_sessions: PasswordSessions


def build_accounts(
    settings: Settings,
    *,
    database: Database,
    clock: DatabaseClock,
    vault: Vault,
    keys: StreamKeys,
    wait_slots: threading.Semaphore,
    deliveries: Deliveries,
    revocations: Revocations,
    sessions: Sessions,
    limiter: Limiter,
    sign_in_secret: str,
) -> AccountServices | None:
    """
    Build the services of built-in accounts.

    Args:
        clock: Clock of the database.
        wait_slots: Slots for requests that wait for other services.
        sign_in_secret: Secret of all processes, for hashes of user IDs and addresses.

    Returns:
        `None` if built-in accounts are off.
    """
    if not settings.has_accounts:
        return None
    alphabet = settings.user_ids.alphabet
    signing_keys = SigningKeys(database, vault)
    pool = _hashing_pool(settings)
    hasher = PasswordHasher(pool)
    policy = PasswordPolicy(settings.accounts.min_password, settings.public_url)
    access_tokens = AccessTokens(signing_keys, settings.public_url, settings.sessions)
    sign_ins = SignIns(database, clock, hasher, KeyedHashes(sign_in_secret))
    return AccountServices(
        signing_keys=signing_keys,
        signing_rotation=SigningKeyRotation(database, clock, vault, _signing_periods(settings)),
        access_tokens=access_tokens,
        lost_family_keys=LostFamilyKeys(database, clock, vault),
        hashing_pool=pool,
        accounts=Accounts(
            database=database,
            clock=clock,
            settings=settings.accounts,
            alphabet=alphabet,
            policy=policy,
            hasher=hasher,
            deliveries=deliveries,
            revocations=revocations,
            stream_users=_stream_users(settings, keys, wait_slots),
        ),
        codes=AccountCodes(
            database=database,
            clock=clock,
            settings=settings.accounts,
            alphabet=alphabet,
            policy=policy,
            hasher=hasher,
            revocations=revocations,
        ),
        transfer=AccountTransfer(
            database=database,
            clock=clock,
            settings=settings.accounts,
            alphabet=alphabet,
            deliveries=deliveries,
        ),
        sign_ins=sign_ins,
        password_sessions=PasswordSessions(
            database=database,
            clock=clock,
            sign_ins=sign_ins,
            sessions=sessions,
            access_tokens=access_tokens,
            limiter=limiter,
        ),
    )


def _signing_periods(settings: Settings) -> SigningPeriods:
    sessions = settings.sessions
    return SigningPeriods(
        rotation=sessions.key_rotation,
        publication=sessions.jwks_max_age,
        verification=sessions.access_ttl,
    )


def _hashing_pool(settings: Settings) -> HashingPool:
    """Return the pool of this worker: together the workers have one thread per core."""
    cores = len(os.sched_getaffinity(0))
    # A waiting sign-in holds a thread that could mint: they hold at most half of them.
    return HashingPool(max(1, cores // settings.workers), max_waiting=settings.threads // 2)


def _stream_users(
    settings: Settings, keys: StreamKeys, wait_slots: threading.Semaphore
) -> StreamUsers | None:
    if not settings.stream.delivers:
        return None
    api = StreamApi(settings.stream.base_url, system_clock)
    return StreamUsers(api, keys.current_ring, wait_slots)
