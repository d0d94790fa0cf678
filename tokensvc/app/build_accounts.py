"""Builds the objects that only built-in accounts need."""

import os
from collections.abc import Callable
from functools import partial

from tokensvc.accounts.codes import AccountCodes
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.passwords.rules import check_new_password
from tokensvc.accounts.reads import AccountReads
from tokensvc.accounts.service import Accounts
from tokensvc.accounts.stream_users import stream_has
from tokensvc.accounts.transfer import AccountTransfer
from tokensvc.app.services import AccountServices, Base, StreamServices
from tokensvc.config.loader import Settings
from tokensvc.core.waiting import WaitSlots
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.rules import SigningPeriods
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.lost_keys import LostFamilyKeys
from tokensvc.sessions.oauth.grant import OAuth
from tokensvc.sessions.service import Sessions
from tokensvc.sign_in.attempts import PasswordAttempts
from tokensvc.sign_in.service import PasswordSessions
from tokensvc.sign_in.store import SignInReads
from tokensvc.standing.ring_versions import read_signing_ring
from tokensvc.stream.delivery.service import Deliveries


def build_accounts(
    base: Base,
    stream: StreamServices,
    sessions: Sessions,
    revocations: Revocations,
    erasures: Erasures,
) -> AccountServices | None:
    """Build the services of built-in accounts; `None` if these are off."""
    settings, database, database_clock = base.settings, base.database, base.database_clock
    if not settings.has_accounts:
        return None
    signing_keys = SigningKeys(database, base.vault)
    access_tokens = AccessTokens(signing_keys, settings.public_url, settings.sessions)
    signing_ring_now = partial(read_signing_ring, database, base.clock)
    pool = _hashing_pool(settings, base.wait_slots)
    shared = _shared(base, stream.deliveries, PasswordHasher(pool), revocations, erasures)
    return AccountServices(
        signing_keys=signing_keys,
        signing_rotation=SigningKeyRotation(
            database, database_clock, base.vault, _signing_periods(settings)
        ),
        access_tokens=access_tokens,
        signing_ring_now=signing_ring_now,
        lost_family_keys=LostFamilyKeys(database, database_clock, base.vault),
        hashing_pool=pool,
        accounts=Accounts(shared, _stream_has(base, stream)),
        codes=AccountCodes(shared),
        reads=AccountReads(shared),
        transfer=AccountTransfer(shared),
        password_sessions=_password_sessions(base, shared, sessions, access_tokens, revocations),
        oauth=OAuth(
            signing_ring_now=signing_ring_now,
            sessions=sessions,
            access_tokens=access_tokens,
            limiter=base.limiter,
        ),
    )


def _shared(
    base: Base,
    deliveries: Deliveries,
    hasher: PasswordHasher,
    revocations: Revocations,
    erasures: Erasures,
) -> Dependencies:
    settings = base.settings
    return Dependencies(
        database=base.database,
        database_clock=base.database_clock,
        settings=settings.accounts,
        alphabet=settings.user_ids.alphabet,
        check_password=partial(
            check_new_password, settings.accounts.min_password, settings.public_url
        ),
        hasher=hasher,
        deliveries=deliveries,
        revoke_within=revocations.revoke_within,
        erase_within=erasures.erase_within,
        confirm_revocation=revocations.confirm,
        hashes=base.hashes,
    )


def _password_sessions(
    base: Base,
    shared: Dependencies,
    sessions: Sessions,
    access_tokens: AccessTokens,
    revocations: Revocations,
) -> PasswordSessions:
    database, database_clock = base.database, base.database_clock
    reads = SignInReads(database, base.clock)
    return PasswordSessions(
        database=database,
        database_clock=database_clock,
        sign_ins=PasswordAttempts(database, database_clock, reads, shared.hasher, shared.hashes),
        sessions=sessions,
        access_tokens=access_tokens,
        revocations=revocations,
        limiter=base.limiter,
        check_password=shared.check_password,
    )


def _stream_has(base: Base, stream: StreamServices) -> Callable[[str], bool] | None:
    if not base.settings.stream.is_delivery_on:
        return None
    return partial(stream_has, stream.api, stream.keys.current_ring, base.wait_slots)


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
