"""
Random interleavings of refreshes, thefts, actions and purges: the database against a pure model.

The model applies `rules.decide_refresh` to one family at a time. The service has to store the same
states and return the same results, also when other requests run between the read and the write of
a refresh. The clock is a parameter.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from testing.sessions import VAULT, origin_of, purge_sessions, sessions_on
from tokensvc.core.actions import Target
from tokensvc.core.clock import start_of_day
from tokensvc.core.errors import OAuthError, Refusal
from tokensvc.database.engine import Database
from tokensvc.sessions import refresh_tokens, store
from tokensvc.sessions.rules import Reject, ReturnCurrent, decide_refresh, why_dead
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions as sessions_table
from tokensvc.standing import ring_versions
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Epochs, Ring

SETTINGS = SessionSettings()
GRACE = SETTINGS.reuse_grace
WAITS = [0, 0.25, 1, GRACE - 0.5, GRACE, GRACE + 0.5, 3600, 86400, 20 * 86400, 31 * 86400]
USERS = ("ada", "bob")
APP = None
REFUSED = None
"""Result of a refresh that returns no token."""
MANY = 3

any_session = st.integers(0, MANY - 1)
any_address = st.sampled_from(["192.0.2.1", "192.0.2.1", "192.0.2.9", "198.51.100.7"])
any_age = st.sampled_from([0, 0, 0, 1, 1, 2, 3, -1])
"""Rotations of the family since a token was current; -1 for one that is not made yet."""


class PausedRefresh:
    """A refresh in a thread of its own, which stops before its write until `finish`."""

    def __init__(self, machine, session_id, counter, address):
        self.session_id = session_id
        self.counter = counter
        self.address = address
        self.at = machine.now
        self.seen = machine.families[session_id]
        self.result = None
        self._machine = machine
        self._has_stopped = threading.Event()
        self._may_write = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        machine.hooks[self._thread] = self._stop
        self._thread.start()
        assert self._has_stopped.wait(60)

    def finish(self):
        self._may_write.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.result

    def _run(self):
        try:
            self.result = self._machine.refreshed(
                self.session_id, self.counter, "app", self.address
            )
        finally:
            self._has_stopped.set()

    def _stop(self):
        self._has_stopped.set()
        assert self._may_write.wait(60)


class Interleavings(RuleBasedStateMachine):
    """
    Two users with sessions, requests that present any token of these, and actions.

    Attributes:
        families: State of each session that was not purged.
        epochs: Epoch of each user, and of the app.
        sign_ins: User and epochs of sign-ins whose password is being checked.
        database: Database, empty or of an earlier interleaving.
        counts: Numbers of interleavings, steps and collisions.
        set_clock: Function that sets the time of the database, if it has a clock of its own.
        hooks: Functions that threads call before they write.
    """

    database: ClassVar[Database]
    counts: ClassVar[Counter[str]]
    set_clock: ClassVar[Callable[[float], None]]
    hooks: ClassVar[dict[threading.Thread, Callable[[], None]]] = {}

    def __init__(self):
        super().__init__()
        self.set_time(1_800_000_000.0)
        self.sessions = sessions_on(self.database, lambda: self.now, SETTINGS)
        self.families, self.keys = {}, {}
        self.sign_ins, self.paused = [], []
        with self.database.write() as tx:
            tx.execute(sessions_table.delete())
            self.epochs = {user: standings.read_epochs(tx, user).user for user in USERS}
            self.epochs[APP] = standings.read_epochs(tx, USERS[0]).app

    def teardown(self):
        while self.paused:
            self.finish(0)
        self.counts["interleavings"] += 1

    def set_time(self, now):
        self.now = now
        type(self).set_clock(now)

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds):
        self.set_time(self.now + seconds)

    @rule(user_id=st.sampled_from(USERS))
    def begin_sign_in(self, user_id):
        self.sign_ins.append((user_id, self.epochs_of(user_id)))

    @precondition(lambda self: self.sign_ins and len(self.families) < MANY)
    @rule()
    def sign_in(self):
        user_id, epochs = self.sign_ins.pop(0)
        with self.database.write() as tx:
            version = ring_versions.read(tx, Ring.SIGNING)
            grant = self.sessions.open(
                tx, user_id, "app", epochs, now=self.now, signing_ring_version=version
            )
            row = tx.execute(sa.select(sessions_table).filter_by(id=grant.family.id)).one()
        self.families[row.id] = grant.family
        self.keys[row.id] = VAULT.decrypt(row.family_key_ciphertext)
        assert grant.refresh_token == self.token(row.id, 0)

    @precondition(lambda self: self.families)
    @rule(
        number=any_session,
        age=any_age,
        client_id=st.sampled_from(["app", "app", "other"]),
        address=any_address,
    )
    def refresh(self, number, age, client_id, address):
        session_id, counter = self.choose(number, age)
        result = self.refreshed(session_id, counter, client_id, address)
        assert result == self.apply(session_id, counter, client_id, address, self.now)

    @precondition(lambda self: self.families and len(self.paused) < MANY)
    @rule(number=any_session, age=any_age, address=any_address)
    def begin(self, number, age, address):
        """Begin a refresh. If it leaves the family as it is, it ends immediately."""
        session_id, counter = self.choose(number, age)
        expected, decision = self.decide(session_id, counter, "app", address, self.now)
        begun = PausedRefresh(self, session_id, counter, address)
        if isinstance(decision, Reject | ReturnCurrent):
            assert begun.finish() == expected
        else:
            self.paused.append(begun)

    @precondition(lambda self: self.paused)
    @rule(number=any_session)
    def finish(self, number):
        """Let a refresh write what it decided, or decide again if the family has changed."""
        begun = self.paused.pop(number % len(self.paused))
        at, was_current = begun.at, False
        if begun.session_id in self.families and not self.is_unchanged(begun.seen):
            at, was_current = self.now, begun.counter == begun.seen.counter
            self.counts["collisions"] += 1
        result = begun.finish()
        assert result == self.apply(
            begun.session_id, begun.counter, "app", begun.address, at, was_current=was_current
        )

    @rule(whose=st.sampled_from([*USERS, APP]))
    def end_all_sessions(self, whose):
        target = Target(whose)
        self.epochs[whose] += 1
        with self.database.write() as tx:
            standing = standings.lock(tx, target)
            standings.write(tx, target, replace(standing, epoch=standing.epoch + 1))

    @precondition(lambda self: self.families)
    @rule(number=any_session)
    def end(self, number):
        session_id, _ = self.choose(number, 0)
        family = self.families[session_id]
        assert self.sessions.end(family.user_id, session_id) == (family.ended_at is None)
        if family.ended_at is None:
            self.families[session_id] = replace(family, ended_at=self.now)

    @rule()
    def purge(self):
        assert not purge_sessions(self.database, lambda: self.now, SETTINGS)
        oldest = start_of_day(self.now - min(SETTINGS.idle_ttl, SETTINGS.absolute_ttl))
        self.families = {
            session_id: family
            for session_id, family in self.families.items()
            if family.ended_at is None and start_of_day(family.last_used_at) >= oldest
        }

    @invariant()
    def database_has_the_states_of_the_model(self):
        self.counts["steps"] += 1
        with self.database.read() as connection:
            rows = connection.execute(sa.select(sessions_table)).all()
            counts = self.sessions.count_open(connection, USERS)
        assert {row.id: store.family_in(row) for row in rows} == self.families
        live = {session_id for session_id in self.families if self.is_live(session_id)}
        for user_id in USERS:
            listed = {family.id for family in self.sessions.page(user_id, after=None, limit=9)}
            assert listed == {key for key in live if self.families[key].user_id == user_id}
            assert counts[user_id] == len(listed)
        assert {key for key in self.families if self.sessions.read_open(key)} == live

    def is_live(self, session_id):
        family = self.families[session_id]
        return why_dead(family, self.epochs_of(family.user_id), self.now, SETTINGS) is None

    def is_unchanged(self, seen):
        is_current = self.epochs_of(seen.user_id) == seen.epochs
        family = self.families[seen.id]
        return is_current and replace(family, confirmed_counter=seen.confirmed_counter) == seen

    def apply(self, *request, was_current=False):
        """Apply a refresh to the model. Return its result."""
        result, decision = self.decide(*request, was_current=was_current)
        if decision is not None and not isinstance(decision, Reject):
            self.families[request[0]] = decision.family
        return result

    def decide(self, session_id, counter, client_id, address, at, *, was_current=False):
        family = self.families.get(session_id)
        if family is None:
            return REFUSED, None
        decision = decide_refresh(
            family,
            presented_counter=counter,
            client_id=client_id,
            origin=origin_of(address),
            epochs=self.epochs_of(family.user_id),
            now=at,
            settings=SETTINGS,
            was_current=was_current,
        )
        if isinstance(decision, Reject) or decision.family.ended_at is not None:
            return REFUSED, decision
        return self.token(session_id, decision.family.counter), decision

    def refreshed(self, session_id, counter, client_id, address):
        """Return the new token or `REFUSED`."""
        try:
            grant = self.sessions.refresh(
                self.token(session_id, counter), client_id, address=address
            )
        except Refusal as refusal:
            assert refusal.oauth_error is OAuthError.INVALID_GRANT
            return REFUSED
        return grant.refresh_token

    def choose(self, number, age):
        session_id = list(self.families)[number % len(self.families)]
        return session_id, max(0, self.families[session_id].counter - age)

    def token(self, session_id, counter):
        return refresh_tokens.make(bytes.fromhex(session_id), counter, self.keys[session_id])

    def epochs_of(self, user_id):
        return Epochs(user=self.epochs[user_id], app=self.epochs[APP])
