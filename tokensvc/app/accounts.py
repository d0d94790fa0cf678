"""Builds the objects that only built-in accounts need."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.passwords.policy import PasswordPolicy
from tokensvc.accounts.purge import AccountPurge
from tokensvc.accounts.service import Accounts
from tokensvc.accounts.stream_users import StreamUsers
from tokensvc.accounts.transfer import AccountTransfer
from tokensvc.app.background import BackgroundLoop, purge_loop
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.limits.service import Limiter
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.rules import SigningPeriods
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.lost_keys import LostFamilyKeys
from tokensvc.sessions.oauth.service import OAuth
from tokensvc.sessions.service import Sessions
from tokensvc.sign_in.attempts import SignIns
from tokensvc.sign_in.service import PasswordSessions
from tokensvc.sign_in.store import SignInReads
from tokensvc.standing.rules import RingVersion
from tokensvc.standing.signing_ring import read_signing_ring
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.vault import Vault

_SIGNING_KEYS_INTERVAL = 1.0
"""Seconds between two checks whether a signing key is to be made, activated or retired."""


@dataclass(frozen=True, slots=True)
class AccountServices:
    """What only built-in accounts need."""

    signing_keys: SigningKeys
    signing_rotation: SigningKeyRotation
    access_tokens: AccessTokens
    signing_ring_now: Callable[[], tuple[float, RingVersion]]
    lost_family_keys: LostFamilyKeys
    hashing_pool: HashingPool
    accounts: Accounts
    codes: AccountCodes
    transfer: AccountTransfer
    password_sessions: PasswordSessions
    oauth: OAuth
    purge: AccountPurge

    def loops(self) -> Sequence[BackgroundLoop]:
        """Return the background loops of built-in accounts."""
        return (
            purge_loop("account_purge", self.purge),
            BackgroundLoop("signing_keys", self.signing_rotation.step, _SIGNING_KEYS_INTERVAL),
        )


@dataclass(frozen=True, slots=True)
class AccountDependencies:
    """
    What the services of built-in accounts use.

    Attributes:
        clock: Clock of the database.
        host_clock: Clock of this host.
        wait_slots: Slots for requests that wait.
        hashes: Keyed hashes of user IDs and addresses.
    """

    settings: Settings
    database: Database
    clock: DatabaseClock
    host_clock: Clock
    vault: Vault
    keys: StreamKeys
    wait_slots: WaitSlots
    stream_api: StreamApi
    deliveries: Deliveries
    revocations: Revocations
    sessions: Sessions
    limiter: Limiter
    hashes: KeyedHashes


def build_accounts(uses: AccountDependencies) -> AccountServices | None:
    """Build the services of built-in accounts; `None` if these are off."""
    settings, database, clock = uses.settings, uses.database, uses.clock
    if not settings.has_accounts:
        return None
    signing_keys = SigningKeys(database, uses.vault)
    access_tokens = AccessTokens(signing_keys, settings.public_url, settings.sessions)
    pool = _hashing_pool(settings, uses.wait_slots)
    shared = _shared(uses, PasswordHasher(pool))
    signing_ring_now = partial(read_signing_ring, database, uses.host_clock)
    periods = _signing_periods(settings)
    return AccountServices(
        signing_keys=signing_keys,
        signing_rotation=SigningKeyRotation(database, clock, uses.vault, periods),
        access_tokens=access_tokens,
        signing_ring_now=signing_ring_now,
        lost_family_keys=LostFamilyKeys(database, clock, uses.vault),
        hashing_pool=pool,
        accounts=Accounts(shared, _stream_users(uses)),
        codes=AccountCodes(shared),
        transfer=AccountTransfer(shared),
        purge=AccountPurge(database, clock),
        password_sessions=PasswordSessions(
            database=database,
            clock=clock,
            sign_ins=SignIns(
                database, clock, SignInReads(database, uses.host_clock), shared.hasher, uses.hashes
            ),
            sessions=uses.sessions,
            access_tokens=access_tokens,
            revocations=uses.revocations,
            limiter=uses.limiter,
            policy=shared.policy,
        ),
        oauth=OAuth(
            signing_ring_now=signing_ring_now,
            sessions=uses.sessions,
            access_tokens=access_tokens,
            limiter=uses.limiter,
        ),
    )


def _shared(uses: AccountDependencies, hasher: PasswordHasher) -> Dependencies:
    settings = uses.settings
    return Dependencies(
        database=uses.database,
        clock=uses.clock,
        settings=settings.accounts,
        alphabet=settings.user_ids.alphabet,
        policy=PasswordPolicy(settings.accounts.min_password, settings.public_url),
        hasher=hasher,
        deliveries=uses.deliveries,
        revoke_within=uses.revocations.revoke_within,
        confirm_revocation=uses.revocations.confirm,
        hashes=uses.hashes,
    )


def _signing_periods(settings: Settings) -> SigningPeriods:
    sessions = settings.sessions
    return SigningPeriods(
        rotation=sessions.key_rotation,
        publication=sessions.jwks_max_age,
        verification=sessions.access_ttl,
    )


def _hashing_pool(settings: Settings, wait_slots: WaitSlots) -> HashingPool:
    """Return the pool of this worker: together the workers have one thread per core."""
    cores = len(os.sched_getaffinity(0))
    return HashingPool(max(1, cores // settings.workers), wait_slots)


def _stream_users(uses: AccountDependencies) -> StreamUsers | None:
    if not uses.settings.stream.delivers:
        return None
    return StreamUsers(uses.stream_api, uses.keys.current_ring, uses.wait_slots)
