"""What a service may still hand on when its rights change while it waits, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients import rules
from tokensvc.clients.store import ClientStore
from tokensvc.core.errors import Code

MANAGER = rights("clients:write", "tokens:mint")


class World:
    """A client that changes others, and one that it changes, whose id comes before its own."""

    def __init__(self, clients, administration):
        self.clients = clients
        self.administration = administration
        self.manager = administration.create("manager", MANAGER, grantor=OPERATOR)
        self.target = administration.create("backend", rights("users:read"), grantor=OPERATOR)

    def authenticated(self, client, secret=None):
        """Give a client as it is when its request authenticates; it waits for a lock then."""
        caller = self.clients.authenticate(client.id, secret or client.secret.secret)
        return rules.service(caller)

    def refused(self, act, grantor):
        """Give what refuses an act, of which nothing comes."""
        before = self.clients.page()
        refusal = refusal_of(act, self, grantor)
        assert self.clients.page() == before
        return refusal


@pytest.fixture
def world(clients, administration):
    return World(clients, administration)


def make(world, grantor):
    return world.administration.create("new", rights("tokens:mint"), grantor=grantor)


def ensure(world, grantor):
    return world.administration.create_if_absent("new", rights("tokens:mint"), grantor=grantor)


def grant_itself(world, grantor):
    return world.administration.change(world.manager.id, MANAGER.scopes, grantor=grantor)


def grant(world, grantor):
    return world.administration.change(
        world.target.id, ["users:read", "tokens:mint"], grantor=grantor
    )


def add_to_itself(world, grantor):
    return world.administration.add_secret(world.manager.id, grantor=grantor)


def delete(world, grantor):
    return world.administration.delete(world.target.id, grantor=grantor)


def delete_secret(world, grantor):
    return world.administration.delete_secret(
        world.target.id, world.target.secret.id, grantor=grantor
    )


GRANTS = [make, ensure, grant_itself, grant]
ACTS = [*GRANTS, add_to_itself, delete, delete_secret]


@pytest.mark.sec(47)
@pytest.mark.parametrize("act", GRANTS)
def test_a_scope_that_was_taken_meanwhile_is_not_handed_on(world, act):
    """The operator's answer is out: neither the client itself nor another gets it back."""
    waiting = world.authenticated(world.manager)
    world.administration.change(world.manager.id, ["clients:write"], grantor=OPERATOR)
    refusal = world.refused(act, waiting)
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    assert "tokens:mint" in refusal.detail


@pytest.mark.sec(47)
@pytest.mark.parametrize("act", ACTS)
def test_a_client_that_may_change_none_any_more_changes_none(world, act):
    """Whatever else it may do still."""
    waiting = world.authenticated(world.manager)
    left = ["tokens:mint", "users:read"]
    world.administration.change(world.manager.id, left, grantor=OPERATOR)
    refusal = world.refused(act, waiting)
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    assert "clients:write" in refusal.detail


@pytest.mark.sec(47)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("end", ["secret", "client", "expiry"])
def test_a_credential_that_ended_meanwhile_does_nothing(world, clock, act, end):
    """A leaked secret makes itself no successor, and what it was good for it is no more."""
    manager = world.manager.id
    second = world.administration.add_secret(manager, int(clock.now) + 60, grantor=OPERATOR)
    waiting = world.authenticated(world.manager, second.secret)
    if end == "secret":
        world.administration.delete_secret(manager, second.id, grantor=OPERATOR)
    elif end == "client":
        world.administration.delete(manager, grantor=OPERATOR)
    else:
        clock.now += 60
    expected = Code.CREDENTIALS_EXPIRED if end == "expiry" else Code.CREDENTIALS_INVALID
    assert world.refused(act, waiting).code is expected


@pytest.mark.sec(47)
def test_what_was_given_meanwhile_counts_too(world):
    """The rights are those of the moment that the act is done in."""
    waiting = world.authenticated(world.manager)
    world.administration.change(world.manager.id, [*MANAGER.scopes, "audit:read"], grantor=OPERATOR)
    changed = world.administration.change(world.target.id, ["audit:read"], grantor=waiting)
    assert changed.scopes == {"audit:read"}


@pytest.mark.sec(47)
def test_a_request_that_waits_for_its_own_row_finds_it_changed(world, database):
    """It is what the row holds once it is locked that counts, and not when the wait began."""
    waiting = world.authenticated(world.manager)
    store = ClientStore(database)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            store.locked(tx, [world.manager.id])
            refused = pool.submit(refusal_of, grant_itself, world, waiting)
            with suppress(TimeoutError):  # time to get to the lock; fewer only miss the wait
                refused.result(timeout=0.3)
            store.change(tx, world.manager.id, rights("clients:write"))
        assert refused.result().code is Code.INSUFFICIENT_SCOPE
    assert world.clients.one(world.manager.id).scopes == {"clients:write"}


def test_two_that_change_each_other_do_not_wait_for_ever(world):
    """Whoever changes whom, the rows are locked in the order of their ids."""
    other = world.administration.create("another", MANAGER, grantor=OPERATOR)
    barrier = threading.Barrier(2, timeout=30)

    def change(grantor, client):
        grantor = world.authenticated(grantor)
        for _ in range(30):
            barrier.wait()
            world.administration.change(client.id, grantor=grantor)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(change, world.manager, other)
        two = pool.submit(change, other, world.manager)
        assert (one.result(), two.result()) == ("done", "done")
