"""
Check the password of an account without revealing whether the account exists.

An unknown user, a wrong password and a suspended user take the same steps: one read, one count, one
hash, and one transaction with one audit event. The attempt counts as a failure before the hash:
attempts that run at the same time would otherwise all pass before the first of them has failed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tokensvc.accounts import store as accounts
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.lock_out.rules import (
    LOCK_AFTER,
    MAX_DELAY,
    Counter,
    CounterKind,
    is_known,
    seconds_to_wait,
)
from tokensvc.accounts.passwords.hashing import PasswordHasher, needs_rehash
from tokensvc.audit.rules import REFUSED, Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.sign_in.rules import SUSPENDED, Attempt, why_refused
from tokensvc.sign_in.store import SignInReads, SignInStanding
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RingVersion
from tokensvc.vault.hashes import KeyedHashes

_ACTOR: Final = "service:sign_in"
REVOKED: Final = "revoked"
"""Reason of a refusal: an action has ended the sessions since the password was read."""


class PasswordAttempts:
    """The check of passwords, and the lock-out of accounts."""

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        reads: SignInReads,
        hasher: PasswordHasher,
        hashes: KeyedHashes,
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._reads = reads
        self._hasher = hasher
        self._hashes = hashes

    def check(
        self,
        user_id: str,
        password: str,
        address: str,
        check_can_sign: Callable[[RingVersion], None] = lambda _version: None,
        *,
        known_only: bool = False,
    ) -> Attempt:
        """
        Check a password, and replace a hash with other parameters than those of this service.

        The caller completes the attempt with `read_standing_again` and `complete`, or with
        `replace_password`.

        Args:
            address: Client address, for the counter of failures.
            check_can_sign: Function that refuses before the attempt counts if no access token can
                be signed with the ring of signing keys of a version.
            known_only: Whether only an account that knows the address is checked.

        Raises:
            Refusal: `credentials_invalid` for a wrong password or an unknown user;
                `user_suspended` for a suspended one with the right password;
                `rate_limited` after too many failures; `temporarily_unavailable` if no thread is
                free to hash; what `check_can_sign` raises.
        """
        attempt = self._begin(user_id, address, check_can_sign)
        if known_only and not attempt.is_known:
            raise _locked_out(MAX_DELAY, "address")
        # Around the count too: it waits for the database, and holds a thread.
        with self._hasher.wait_slot(known=attempt.is_known):
            attempt = self._count(attempt)
            try:
                is_right = self._hasher.verify(attempt.stored_hash, password)
            except Refusal:
                self._take_back(attempt)
                raise
            reason = why_refused(attempt, is_right=is_right)
            if reason is not None:
                raise self._refuse(attempt, reason)
            return self._with_current_hash(attempt, password)

    def read_standing_again(self, attempt: Attempt) -> SignInStanding:
        """
        Return what the session of a successful attempt depends on, read after the hash.

        Raises:
            Refusal: `credentials_invalid`: the user's sessions were ended since the password was
                read, for example by a change of the password.
        """
        found = self._reads.read_standing(attempt.user_id)
        if found.epochs != attempt.epochs:
            raise self._refuse(attempt, REVOKED)
        return found

    def complete(self, tx: Transaction, attempt: Attempt, now: float) -> None:
        """Forget the failures before a success, and remember its address."""
        # An attempt and `unlock` lock the rows in this order too: else two could block each other.
        lock_outs.clear(tx, attempt.user_hash, CounterKind.SHARED)
        lock_outs.clear(tx, attempt.own_hash, CounterKind.OWN)
        lock_outs.remember_address(tx, attempt.user_id, attempt.address_hash, now)

    def hash_new(self, attempt: Attempt, password: str) -> str:
        """
        Return the hash of a new password for the user of a successful attempt.

        Raises:
            Refusal: What `hash` raises; then the attempt no longer counts as a failure.
        """
        try:
            with self._hasher.wait_slot(known=attempt.is_known):
                return self._hasher.hash(password)
        except Refusal:
            self._take_back(attempt)
            raise

    def replace_password(self, tx: Transaction, attempt: Attempt, new_hash: str) -> bool:
        """
        Complete an attempt, store a new password hash, and end the reset codes.

        The caller ends the sessions.

        Returns:
            False if the user's sessions were ended since the password was read: the user gets
            nothing. Commit that, and raise `sign_in_refused`.
        """
        account = accounts.lock(tx, attempt.user_id)
        # Until the commit, no other action can end the sessions, nor suspend the user.
        standings.lock(tx, Target(attempt.user_id))
        now = self._clock.read(tx)
        if standings.read_epochs(tx, attempt.user_id) != attempt.epochs or account is None:
            _record_refusal(tx, attempt, REVOKED, now)
            return False
        self.complete(tx, attempt, now)
        accounts.end_reset_codes(tx, attempt.user_id, now)
        return accounts.replace_hash(tx, attempt.user_id, account.password_hash, new_hash)

    def _begin(
        self, user_id: str, address: str, check_can_sign: Callable[[RingVersion], None]
    ) -> Attempt:
        """Read what an attempt depends on."""
        address_hash = self._hashes.of_address(address)
        found = self._reads.read(user_id, address_hash)
        standing = found.standing
        check_can_sign(standing.signing_ring_version)
        attempt = Attempt(
            user_id=user_id,
            user_hash=self._hashes.of_user_id(user_id),
            address_hash=address_hash,
            own_hash=self._hashes.of_user_at(user_id, address_hash),
            is_known=is_known(found.last_signed_in_at, standing.now),
            counter=Counter(CounterKind.SHARED, failures=1, last_failed_at=int(standing.now)),
            wait=0,
            epochs=standing.epochs,
            suspended=standing.suspended,
            account=found.account,
        )
        log_fields(user_id=attempt.audit_subject)
        return attempt

    def _count(self, attempt: Attempt) -> Attempt:
        """
        Count an attempt as a failure, and return it with its counter.

        Raises:
            Refusal: `rate_limited`; the attempt does not count.
        """
        has_account = attempt.account is not None
        if lock_outs.insert_new(
            self._database, attempt.user_hash, attempt.counter, of_account=has_account
        ):
            return attempt  # the usual attempt is the first: one message instead of four
        with self._database.write() as tx:
            stored = lock_outs.lock(tx, attempt.user_hash, CounterKind.SHARED)
            # The time after the lock: the wait for it can take as long as a delay.
            now = self._clock.read(tx)
            wait = seconds_to_wait(stored, now)
            if wait:
                stored = lock_outs.lock(tx, attempt.own_hash, CounterKind.OWN)
                if own_wait := seconds_to_wait(stored, now):
                    raise _locked_out(max(wait, own_wait), "locked out")
                has_account = has_account and attempt.is_known
            counter = replace(stored, failures=stored.failures + 1, last_failed_at=int(now))
            attempt = replace(attempt, counter=counter, wait=wait)
            lock_outs.write(tx, attempt.counter_key, counter, of_account=has_account)
        return attempt

    def _take_back(self, attempt: Attempt) -> None:
        with self._database.write() as tx:
            lock_outs.take_back(tx, attempt.counter_key, attempt.counter.kind)

    def _refuse(self, attempt: Attempt, reason: str) -> Refusal:
        with self._database.write() as tx:
            _record_refusal(tx, attempt, reason, self._clock.read(tx))
        if attempt.wait and reason != SUSPENDED:
            return _locked_out(attempt.wait, reason)
        return sign_in_refused(reason)

    def _with_current_hash(self, attempt: Attempt, password: str) -> Attempt:
        """Replace a hash with other parameters, unless it has changed or no thread is free."""
        account, seen = attempt.account, attempt.stored_hash
        if account is None or seen is None or not needs_rehash(seen):
            return attempt
        try:
            new = self._hasher.hash(password)
        except Refusal:
            return attempt  # the next sign-in replaces it
        with self._database.write() as tx:
            is_replaced = accounts.replace_hash(tx, attempt.user_id, seen, new)
        if not is_replaced:
            return attempt
        return replace(attempt, account=replace(account, password_hash=new))


def sign_in_refused(reason: str) -> Refusal:
    """
    Return the refusal of a sign-in that fails, the same for each reason but a suspension.

    Args:
        reason: Reason for the log.
    """
    if reason == SUSPENDED:
        return Refusal(Code.USER_SUSPENDED, "This user is suspended. Do not retry.", reason=reason)
    return Refusal(Code.CREDENTIALS_INVALID, "The user ID or the password is wrong.", reason=reason)


def _record_refusal(tx: Transaction, attempt: Attempt, reason: str, now: float) -> None:
    """Write the event of a failed attempt, and that of the lock with the last possible one."""
    context, action = ActionContext(_ACTOR), Action.ACCOUNT_SIGNED_IN
    subject, counter = attempt.audit_subject, attempt.counter
    details: Details = {"cause": reason}
    record(tx, context, action, subject, now=now, outcome=REFUSED, details=details)
    is_shared = counter.kind is CounterKind.SHARED
    if counter.failures == LOCK_AFTER[counter.kind] and (is_shared or attempt.is_known):
        details = {"failures_from": "all addresses" if is_shared else "a known address"}
        record(tx, context, Action.ACCOUNT_LOCKED, subject, now=now, details=details)


def _locked_out(wait: float, reason: str) -> Refusal:
    """
    Return the refusal after too many failures, the same for an account and for an unknown ID.

    Args:
        wait: Seconds, or `LOCKED`.
    """
    return Refusal(
        Code.RATE_LIMITED,
        "Too many failed sign-ins of this user. Retry after `Retry-After` seconds. If that never "
        "succeeds, the password must be reset, or the account unlocked by the operator.",
        reason=reason,
        retry_after=int(min(wait, MAX_DELAY)),
    )
