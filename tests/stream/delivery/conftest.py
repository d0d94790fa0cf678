"""A sender between a real database and the Stream double, with time that a test moves."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from testing.doubles.stream import StreamDouble
from testing.erasures import erasures_on
from testing.sessions import sessions_on
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.limits.rules import MICROSECONDS
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.tables import revocations
from tokensvc.standing.tables import user_standings
from tokensvc.stream.api import StreamApi, rfc3339
from tokensvc.stream.delivery import store
from tokensvc.stream.delivery.lanes import LANE_OF
from tokensvc.stream.delivery.sender import Sender
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.delivery.tables import budgets, deliveries
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.keys.states import KeyState

KEY, OTHER_KEY = "key-1", "key-2"
SECRETS = {
    KEY: "secret-of-the-first-key-0123456789abcdef",
    OTHER_KEY: "secret-of-the-other-" + "b" * 20,
}
CONTEXT = ActionContext("svc.backend")
CUT_OFF = "revoke_tokens_issued_before"

_TIMES = ("due_at", "lease_until", "resend_at", "absent_since", "updated_at", "late_since")


class World:
    """The service's side of deliveries, and Stream's side."""

    def __init__(self, database, clock, stream) -> None:
        self.database = database
        self.clock = clock
        self.stream = stream
        self.monotonic = 0.0
        self.share = 1.0
        self.api = StreamApi(stream.url, time.time)
        self.ring = [StreamKey(KEY, SECRETS[KEY].encode(), KeyState.ACTIVE)]
        self.now = DatabaseClock(database, clock)
        self.revocations = Revocations(
            database,
            self.now,
            [],
            is_delivery_on=True,
            wait_slots=WaitSlots(1),
            count_sessions=sessions_on(database, clock).count_open,
        )
        self.sender = self.another_sender()
        self.deliveries = Deliveries(
            database, self.now, self.sender.refused_keys, is_delivery_on=True
        )

    def erase(self, user_id: str) -> None:
        erasures = erasures_on(self.database, self.now, self.revocations, self.deliveries)
        erasures.erase(user_id, CONTEXT)

    def erasure(self, user_id: str) -> Any:
        """Return the status of an erasure."""
        return self.revocations.state(Target(user_id)).erasure

    def another_sender(self) -> Sender:
        """Return a sender like that of another process."""
        return Sender(
            database=self.database,
            database_clock=self.now,
            ring_at=lambda version: StreamKeyRing(version, self.ring),
            api=self.api,
            share=self.share,
            clock=self.clock,
            random_fraction=lambda: 0.0,
            monotonic=lambda: self.monotonic,
        )

    def pass_time(self, seconds: int) -> None:
        """Advance the clock. PostgreSQL has its own: with it, all rows become older instead."""
        self.monotonic += seconds
        self.clock.now += seconds
        if self.database.dialect == "sqlite":
            return
        with self.database.write() as tx:
            columns = {name: deliveries.c[name] - seconds for name in _TIMES}
            tx.execute(deliveries.update().values(columns))
            earlier = budgets.c.unused_at - seconds * MICROSECONDS
            tx.execute(budgets.update().values(unused_at=earlier))
            tx.execute(
                user_standings.update().values(
                    tokens_valid_after=user_standings.c.tokens_valid_after - seconds
                )
            )
            tx.execute(
                revocations.update().values(
                    created_at=revocations.c.created_at - seconds,
                    tokens_valid_after=revocations.c.tokens_valid_after - seconds,
                )
            )

    def almost(self, seconds: int) -> int:
        """Return fewer seconds, by more than PostgreSQL's clock can advance during a test."""
        return seconds - (1 if self.database.dialect == "sqlite" else 25)

    def deliver(self, sender: Sender | None = None) -> int:
        """Step until there is nothing to do, and return the number of steps."""
        # On a busy machine refused rows are due again before all others have had their turn.
        for steps in range(2_000):
            if not (sender or self.sender).step():
                return steps
        raise AssertionError("not finished after 2,000 steps")

    def revoke(self, user_id: str | None) -> str:
        """Revoke, and return the cut-off in Stream's format."""
        state = self.revocations.revoke(Target(user_id), CONTEXT)
        return rfc3339(state.tokens_valid_after)

    def renew(self, user_id: str) -> None:
        self.revocations.renew(user_id, CONTEXT)

    def revoke_each(self, *user_ids: str) -> None:
        """Write the cut-offs and deliveries of revocations, in one transaction instead of many."""
        with self.database.write() as tx:
            now = self.now.read(tx)
            cut_off = {"tokens_valid_after": int(now), "floor": int(now)}
            tx.execute(user_standings.insert(), [{"user_id": name, **cut_off} for name in user_ids])
            store.mark_each_pending(tx, "user", user_ids, now)

    def cut_off(self, user_id: str | None) -> str | None:
        """Return the service's cut-off in Stream's format."""
        return rfc3339(self.revocations.state(Target(user_id)).tokens_valid_after)

    def undo(self, user_id: str | None) -> None:
        revocation = self.revocations.state(Target(user_id)).revocation
        self.revocations.undo(Target(user_id), revocation.id, CONTEXT)

    def row(self, kind: str, subject: str = "") -> Any:
        """Return a delivery's row."""
        with self.database.read() as connection:
            return connection.execute(
                sa.select(deliveries).filter_by(kind=kind, subject=subject)
            ).one()

    def state(self, kind: str, subject: str = "") -> str:
        return self.states(kind, [subject])[subject]

    def states(self, kind: str, subjects: Collection[str]) -> dict[str, str]:
        """Return the state of each delivery, by subject."""
        with self.database.read() as connection:
            found = store.statuses(connection, kind, subjects)
        return {subject: status.state for subject, status in found.items()}

    def at_stream(self, user_id: str) -> str | None:
        """Return the cut-off that Stream has for a user."""
        return self.stream.app.users[user_id].get(CUT_OFF)

    def have(self, *user_ids: str) -> None:
        """Create users at Stream."""
        for user_id in user_ids:
            self.stream.app.users[user_id] = {"id": user_id, "role": "user"}

    def refuse_first_key(self) -> None:
        """Change the first key's secret at Stream, and add a second key."""
        self.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.STANDBY))
        self.stream.app.keys[KEY] = "another-secret-of-the-first-key-012345"

    def routes(self) -> list[str]:
        """Return the routes of Stream's calls in order."""
        return [call.route for call in self.stream.calls.all()]

    @contextmanager
    def unreachable_stream(self) -> Iterator[None]:
        """Call an address at which nothing listens."""
        self.api._base_url = "http://127.0.0.1:1"
        yield
        self.api._base_url = self.stream.url

    def lease(self) -> tuple[Any, Any]:
        """Lease what is due as the sender does, and return the queue and the batch."""
        queue = self.sender._due()[0]
        lane = LANE_OF[queue.kind]
        return queue, self.sender._leases.acquire(queue, lane.claim, lane.endpoint, 100)

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Run one step of the sender in another thread, which ends with the block."""
        failures = []

        def step() -> None:
            try:
                self.sender.step()
            except BaseException as error:
                failures.append(error)
                raise

        thread = threading.Thread(target=step)
        thread.start()
        yield
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert not failures


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run a test on SQLite. On both run the statements, and a test of each kind of delivery."""
    kind: str = request.param
    return kind


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble(SECRETS) as double:
        double.limits.lift()  # time that a test moves does not pass between two calls
        yield double


@pytest.fixture
def world(database, clock, stream) -> World:
    """Return a world on the database of the test."""
    return World(database, clock, stream)


@pytest.fixture
def ada(world) -> World:
    """Return a world whose Stream has ada."""
    world.have("ada")
    return world
