"""
Check the password of an account without revealing whether the account exists.

An unknown user, a wrong password and a suspended user take the same steps: one transaction that
reads and counts, one hash, and one transaction with one audit event. The attempt counts as a
failure before the hash: attempts that run at the same time would otherwise all pass before the
first of them has failed.
"""

from dataclasses import dataclass, replace
from typing import Final

from tokensvc.accounts import lock_out_store as lock_outs
from tokensvc.accounts import store as accounts
from tokensvc.accounts.hashing import PasswordHasher, needs_rehash
from tokensvc.accounts.lock_out import (
    DECAY_SECONDS,
    MAX_DELAY,
    STOP_AT,
    STOPPED,
    Axis,
    Counter,
    KeyedHashes,
    axis_of,
    seconds_to_wait,
)
from tokensvc.accounts.store import Account
from tokensvc.audit.rules import REFUSED, Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.targets import Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.http.request_log import note
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Epochs

_ACTOR: Final = "service:sign_in"


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    An attempt to sign in that counts as a failure until its success.

    Attributes:
        subject: Keyed hash of the user ID.
        address_hash: Keyed hash of the address.
        counter_subject: Keyed hash that identifies the counter.
        counter: Counter of the address, this attempt included.
        epochs: Epochs from before the password hash was read.
        suspended: Whether the user is suspended.
        account: Account of the ID, also a deleted one; `None` for an unknown ID.
    """

    user_id: str
    subject: str
    address_hash: str
    counter_subject: str
    counter: Counter
    epochs: Epochs
    suspended: bool
    account: Account | None

    @property
    def audit_subject(self) -> str:
        """Subject of audit events. An unknown ID may be a password that a user typed there."""
        return f"unknown:{self.subject}" if self.account is None else self.user_id

    @property
    def stored_hash(self) -> str | None:
        """Password hash of the account, if it has one."""
        return None if self.account is None else self.account.password_hash


class SignIns:
    """
    The check of passwords, and the lock-out of accounts.

    Every method raises `Refusal` `temporarily_unavailable` if the database fails.

    Args:
        clock: Clock of the database.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        hasher: PasswordHasher,
        hashes: KeyedHashes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._hasher = hasher
        self._hashes = hashes

    def check(self, user_id: str, password: str, address: str) -> Attempt:
        """
        Check a password, and replace a hash with other parameters than those of this service.

        The caller completes the attempt with `complete`.

        Args:
            address: Client address, for the counter of failures.

        Raises:
            Refusal: `credentials_invalid` for a wrong password, an unknown or a suspended user;
                `rate_limited` after too many failures; `temporarily_unavailable` also if no thread
                is free to hash.
        """
        attempt = self._begin(user_id, address)
        try:
            is_right = self._hasher.verify(attempt.stored_hash, password)
        except Refusal:
            self._take_back(attempt)
            raise
        reason = _why_refused(attempt, is_right=is_right)
        if reason is not None:
            raise self._refuse(attempt, reason)
        return self._with_current_hash(attempt, password)

    def complete(self, tx: Transaction, attempt: Attempt) -> float | None:
        """
        Complete an attempt in the transaction of what the user gets.

        Returns:
            Time of the sign-in in epoch seconds. `None` if the user's sessions were ended since the
            password was read, for example by a change of the password: the user gets nothing.
            Commit that, and raise `sign_in_refused`.
        """
        found = standings.read_for_sign_in(tx, self._clock, attempt.user_id)
        now = found.now
        if found.epochs != attempt.epochs:
            _record_refusal(tx, attempt, "revoked", now)
            return None
        lock_outs.clear(tx, attempt.counter_subject, attempt.counter.axis)
        if attempt.counter.axis is Axis.KNOWN:
            lock_outs.clear_old(tx, attempt.subject, Axis.UNKNOWN, now - DECAY_SECONDS)
        lock_outs.remember_address(tx, attempt.user_id, attempt.address_hash, now)
        return now

    def hash_new(self, attempt: Attempt, password: str) -> str:
        """
        Return the hash of a new password for the user of a successful attempt.

        Raises:
            Refusal: `temporarily_unavailable`; then the attempt no longer counts as a failure.
        """
        try:
            return self._hasher.hash(password)
        except Refusal:
            self._take_back(attempt)
            raise

    def replace_password(self, tx: Transaction, attempt: Attempt, new_hash: str) -> bool:
        """
        Complete an attempt, store a new password hash, and end the reset codes.

        The caller ends the sessions.

        Returns:
            False if `complete` returns `None`.
        """
        account = accounts.lock(tx, attempt.user_id)
        # Until the commit, no other action can end the sessions, nor suspend the user.
        standings.lock(tx, Target(attempt.user_id))
        now = self.complete(tx, attempt)
        if now is None or account is None:
            return False
        accounts.end_reset_codes(tx, attempt.user_id, now)
        return accounts.replace_hash(tx, attempt.user_id, account.password_hash, new_hash)

    def unlock(self, tx: Transaction, user_id: str) -> bool:
        """Forget the failures of a user ID. Return whether it had any."""
        counters = [
            (self._hashes.of_known_address(user_id, address_hash), Axis.KNOWN)
            for address_hash in lock_outs.last_addresses(tx, user_id)
        ]
        # In this order, as a sign-in does: the rows are locked.
        counters.append((self._hashes.of_user_id(user_id), Axis.UNKNOWN))
        cleared = [lock_outs.clear(tx, subject, axis) for subject, axis in counters]
        return any(cleared)

    def _begin(self, user_id: str, address: str) -> Attempt:
        """
        Count an attempt as a failure, and read what its result depends on.

        Raises:
            Refusal: `rate_limited`; the attempt does not count.
        """
        subject = self._hashes.of_user_id(user_id)
        address_hash = self._hashes.of_address(address)
        with self._database.write() as tx:
            last = lock_outs.last_addresses(tx, user_id).get(address_hash)
            axis = axis_of(last, self._clock.read(tx))
            counter_subject = subject
            if axis is Axis.KNOWN:
                counter_subject = self._hashes.of_known_address(user_id, address_hash)
            counter = lock_outs.lock(tx, counter_subject, axis)
            # The time again, after the lock: the wait for it can take as long as a delay. And the
            # epochs before the account: whatever changes the password afterwards raises them.
            found = standings.read_for_sign_in(tx, self._clock, user_id)
            attempt = Attempt(
                user_id=user_id,
                subject=subject,
                address_hash=address_hash,
                counter_subject=counter_subject,
                counter=replace(
                    counter, failures=counter.failures + 1, last_failed_at=int(found.now)
                ),
                epochs=found.epochs,
                suspended=found.suspended,
                account=accounts.find(tx, user_id),
            )
            note(user_id=attempt.audit_subject)
            _check_lock_out(counter, found.now)
            of_account = attempt.account is not None
            lock_outs.write(tx, counter_subject, attempt.counter, of_account=of_account)
        return attempt

    def _take_back(self, attempt: Attempt) -> None:
        with self._database.write() as tx:
            lock_outs.take_back(tx, attempt.counter_subject, attempt.counter.axis)

    def _refuse(self, attempt: Attempt, reason: str) -> Refusal:
        with self._database.write() as tx:
            _record_refusal(tx, attempt, reason, self._clock.read(tx))
        return sign_in_refused(reason)

    def _with_current_hash(self, attempt: Attempt, password: str) -> Attempt:
        """Replace the stored hash if it needs it, unless it has changed or no thread is free."""
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
    Return the one refusal of every sign-in that fails.

    Args:
        reason: Reason for the log; the client learns none.
    """
    return Refusal(Code.CREDENTIALS_INVALID, "The user ID or the password is wrong.", reason=reason)


def _why_refused(attempt: Attempt, *, is_right: bool) -> str | None:
    """Return why an attempt is refused, for the log and the audit trail; `None` if it is not."""
    if attempt.account is None:
        return "unknown user"
    if attempt.account.deleted_at is not None:
        return "deleted account"
    if attempt.account.password_hash is None:
        return "no password"
    if not is_right:
        return "wrong password"
    return "suspended" if attempt.suspended else None


def _record_refusal(tx: Transaction, attempt: Attempt, reason: str, now: float) -> None:
    """Write the event of a failed attempt, and that of the lock with the last possible one."""
    context = ActionContext(_ACTOR, reason)
    subject, counter = attempt.audit_subject, attempt.counter
    record(tx, context, Action.ACCOUNT_SIGNED_IN, subject, now=now, outcome=REFUSED)
    if counter.failures == STOP_AT[counter.axis]:
        context = ActionContext(_ACTOR, f"failures from {counter.axis} addresses")
        record(tx, context, Action.ACCOUNT_LOCKED, subject, now=now)


def _check_lock_out(counter: Counter, now: float) -> None:
    """
    Refuse an attempt after too many failures.

    Raises:
        Refusal: `rate_limited`, the same for an account and for an unknown ID.
    """
    wait = seconds_to_wait(counter, now)
    if not wait:
        return
    raise Refusal(
        Code.RATE_LIMITED,
        "Too many failed sign-ins of this user. Retry after `Retry-After` seconds. If that never "
        "succeeds, the password must be reset, or the account unlocked by the operator.",
        reason=f"locked out, {counter.axis} address",
        retry_after=MAX_DELAY if wait == STOPPED else int(wait),
    )
