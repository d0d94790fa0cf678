"""What is stored of events, on both databases."""

import sqlite3
from collections.abc import Iterator
from functools import partial

import pytest

from testing.erasures import erasures_on
from testing.purging import LaterClock, purge_all
from testing.refused_writes import refuse_writes
from testing.sessions import revocations_on
from tokensvc.core.actions import Target
from tokensvc.core.errors import Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.issuers.events import Effect, ProviderEvent, ProviderSession
from tokensvc.revocations.events import store
from tokensvc.revocations.events.service import ProviderEvents
from tokensvc.revocations.store import unconfirmed_targets
from tokensvc.standing.store import StandingStore
from tokensvc.stream.delivery.service import Deliveries


@pytest.fixture
def later(database, clock) -> DatabaseClock:
    return LaterClock(database, clock)


@pytest.fixture
def now(database, later) -> Iterator[int]:
    with database.write() as tx:
        yield int(later.read(tx))


@pytest.fixture
def events(database, clock) -> ProviderEvents:
    revocations, own_clock = revocations_on(database, clock), DatabaseClock(database, clock)
    deliveries = Deliveries(database, own_clock, dict, is_delivery_on=True)
    erasures = erasures_on(database, own_clock, revocations, deliveries)
    return ProviderEvents(database, own_clock, revocations, erasures)


@pytest.fixture
def event_at(database, later):
    """Return a function that returns an event that expires after a number of seconds."""
    with database.write() as tx:
        now = int(later.read(tx))

    def event(effect=Effect.SIGN_OUT, seconds=100, session=None):
        ended = ProviderSession(session, now + seconds) if session else None
        return ProviderEvent("acme", "test", effect, "ada", now, "key", now + seconds, ended)

    return event


def test_event_without_its_audit_event_can_be_sent_again(database, events, event_at):
    """Its memory and its effect are one transaction."""
    refuse_writes(database, "audit_events")
    for _ in range(2):
        with pytest.raises((Refusal, sqlite3.IntegrityError)):
            events.apply(event_at())
    with database.write() as tx:
        assert store.add_event(tx, event_at())


def test_repetition_confirms_what_a_process_left_that_died_before_its_response(
    database, events, event_at, monkeypatch
):
    """Its effect was committed, and is not repeated: the user may have signed in since."""
    with monkeypatch.context() as dying, pytest.raises(ConnectionError):
        dying.setattr(events._revocations, "confirm", _die)
        events.apply(event_at())
    assert unconfirmed_targets(database, limit=1) == [Target("ada")]
    before = events._revocations.state(Target("ada")).revocation
    assert not events.apply(event_at())
    assert unconfirmed_targets(database, limit=1) == []
    assert events._revocations.state(Target("ada")).revocation.id == before.id


def _die(target):
    raise ConnectionError


def test_event_is_remembered_until_it_expires(database, events, event_at, later):
    assert events.apply(event_at())
    purge_all(database, later, store.purge)
    assert not events.apply(event_at())
    later.ahead = 101
    purge_all(database, later, store.purge)
    assert events.apply(event_at())


def test_session_is_refused_until_its_last_token_has_expired(
    database, clock, events, event_at, later
):
    standings = StandingStore(
        database, clock, provider_session_has_ended=store.PROVIDER_SESSION_HAS_ENDED
    )
    has_ended = partial(standings.read_with_provider_session, "ada")
    events.apply(event_at(Effect.END_SESSION, session="phone"))
    assert has_ended("phone").session_has_ended
    assert not has_ended("laptop").session_has_ended
    purge_all(database, later, store.purge)
    assert has_ended("phone").session_has_ended
    later.ahead = 101
    purge_all(database, later, store.purge)
    assert not has_ended("phone").session_has_ended


def test_session_that_ends_again_is_refused_for_longer(database, event_at, later):
    with database.write() as tx:
        for seconds in (100, 200):
            store.end_session(tx, event_at(seconds=seconds, session="phone").session)
    later.ahead = 150
    purge_all(database, later, store.purge)
    with database.write() as tx:
        assert not store.purge(tx, later.read(tx), 10)
        assert tx.scalar(store.PROVIDER_SESSION_HAS_ENDED.select(), {"provider_session": "phone"})


def test_end_of_a_session_renews_the_stream_tokens_of_its_user(database, clock, events, event_at):
    """Nothing else changes: the other sessions mint."""
    events.apply(event_at(Effect.END_SESSION, session="phone"))
    state = revocations_on(database, clock).state(Target("ada"))
    assert state.tokens_valid_after is None
    assert state.stream.state == "pending"
