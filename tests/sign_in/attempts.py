"""Attempts to sign in on a database, at a time that a test sets, without the cost of hashes."""

import json
from contextlib import nullcontext

import sqlalchemy as sa

from testing.accounts import PASSWORD
from testing.manual_clock import ManualClock
from tokensvc.accounts import store
from tokensvc.accounts.lock_out.rules import CounterKind
from tokensvc.accounts.lock_out.tables import known_addresses, sign_in_failures
from tokensvc.accounts.passwords import hashing
from tokensvc.accounts.store import Account
from tokensvc.accounts.tables import accounts
from tokensvc.audit.tables import audit_events
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.deletion import purge_step
from tokensvc.sign_in.attempts import PasswordAttempts
from tokensvc.sign_in.store import SignInReads
from tokensvc.vault.hashes import KeyedHashes

HASHES = KeyedHashes("the secret of a test")
HOME, CAFE = "192.0.2.1", "198.51.100.7"


def subject_of(user_id, kind, address):
    """Return the subject of a counter."""
    if kind == "known":
        return HASHES.of_user_at(user_id, HASHES.of_address(address))
    return HASHES.of_user_id(user_id)


class FakeHasher:
    """
    Hashes that anyone can read, with the parameters of this service.

    Attributes:
        verified: The stored hash of each check.
        meanwhile: Function that runs while a password is hashed.
        is_busy: Whether no thread is free.
    """

    def __init__(self):
        self.verified = []
        self.meanwhile = lambda: None
        self.is_busy = False

    def wait_slot(self, *, known):
        """Refuse no attempt early: a thread may be taken meanwhile."""
        return nullcontext()

    def hash(self, password):
        self._refuse_if_busy()
        return f"{hashing._PREFIX}{password}"

    def verify(self, stored, password):
        self._refuse_if_busy()
        self.verified.append(stored)
        self.meanwhile()
        return stored is not None and stored.endswith(f"${password}")

    def _refuse_if_busy(self):
        if self.is_busy:
            raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "busy", retry_after=hashing.RETRY_AFTER)


class TimedReads(SignInReads):
    """Reads at the time of a test: that of PostgreSQL cannot be set."""

    def __init__(self, database, clock):
        super().__init__(database, clock)
        self._test_clock = clock

    def _standing_of(self, columns, _now):
        return super()._standing_of(columns, self._test_clock())


class Attempts:
    """A database with accounts, and the attempts to sign in of one process."""

    def __init__(self, database):
        self.database = database
        self.clock = ManualClock()
        self.hasher = FakeHasher()
        self.sign_ins = self.sign_ins_with(self.hasher)

    def purge(self):
        """Run a step of the purge, and return whether more may be left."""
        return purge_step(self.database, self.clock, store.purge)

    def sign_ins_with(self, hasher):
        reads = TimedReads(self.database, self.clock)
        return PasswordAttempts(self.database, self.clock, reads, hasher, HASHES)

    def create(self, user_id="ada", **members):
        """Create an account, by default with `PASSWORD`."""
        members = {"password_hash": self.hasher.hash(PASSWORD), "created_at": 0, **members}
        with self.database.write() as tx:
            assert store.insert(tx, Account(user_id, **members))

    def sign_in(self, user_id="ada", password=PASSWORD, address=CAFE):
        """Sign in, and return the attempt. Raise the refusal of one that fails."""
        attempt = self.sign_ins.check(user_id, password, address)
        found = self.sign_ins.read_standing_again(attempt)
        with self.database.write() as tx:
            self.sign_ins.complete(tx, attempt, found.now)
        return attempt

    def outcome(self, user_id="ada", password="wrong", address=CAFE):
        """Return the code and the `Retry-After` of an attempt, and whether it was hashed."""
        before = len(self.hasher.verified)
        try:
            self.sign_in(user_id, password, address)
        except Refusal as refusal:
            result = (refusal.code.value, refusal.retry_after)
        else:
            result = ("ok", None)
        return (*result, len(self.hasher.verified) > before)

    def fail(self, times, user_id="ada", address=CAFE):
        """Fail to sign in, with the delays in between."""
        for _ in range(times):
            assert self.outcome(user_id, address=address) == REFUSED
            self.clock.now += 1000

    def set_failures(self, failures, user_id="ada", kind="unknown", address=CAFE):
        """Write a counter whose last failure is too old for a delay."""
        with self.database.write() as tx:
            subject = subject_of(user_id, kind, address)
            tx.execute(sa.delete(sign_in_failures).filter_by(subject=subject, kind=kind))
            row = {"failures": failures, "last_failed_at": int(self.clock.now) - 1000}
            tx.execute(sa.insert(sign_in_failures).values(subject=subject, kind=kind, **row))

    def failures(self, user_id="ada", address=HOME):
        """Return the failures of a user ID in the shared counter, and in that of an address."""
        subjects = [subject_of(user_id, kind, address) for kind in CounterKind]
        query = sa.select(sign_in_failures).where(sign_in_failures.c.subject.in_(subjects))
        with self.database.read() as connection:
            return {row.kind: row.failures for row in connection.execute(query)}

    def count(self, table):
        with self.database.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table))

    def counts(self):
        """Return the number of counters and of addresses."""
        return self.count(sign_in_failures), self.count(known_addresses)

    def stored_hash(self, user_id="ada"):
        with self.database.read() as connection:
            return connection.scalar(sa.select(accounts.c.password_hash).filter_by(user_id=user_id))

    def events(self):
        """Return (action, subject, outcome, details) of all events, oldest first."""
        columns = audit_events.c
        query = sa.select(columns.action, columns.subject, columns.outcome, columns.details)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(columns.id)).all()
        return [(*row[:-1], json.loads(row.details or "null")) for row in rows]


REFUSED = ("credentials_invalid", None, True)


def delayed(seconds, *, is_hashed=True):
    """Return the outcome of an attempt that must wait."""
    return ("rate_limited", seconds, is_hashed)
