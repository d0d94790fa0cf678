"""Rights of a service that change while it waits for a lock, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients import rules, store
from tokensvc.core.errors import Code

MANAGER = rights("clients:write", "tokens:mint")


class World:
    """A client that changes others, and one that it changes, whose ID sorts before its own."""

    def __init__(self, clients, administration):
        self.clients = clients
        self.administration = administration
        self.manager = administration.create("manager", MANAGER, administrator=OPERATOR)
        self.target = administration.create(
            "backend", rights("clients:write"), administrator=OPERATOR
        )

    def authenticated(self, client, secret=None):
        """Return a client as of its authentication, before it waits for a lock."""
        caller = self.clients.authenticate(client.id, secret or client.secret)
        return rules.service(caller)

    def refused(self, action, administrator):
        """Return the refusal of an action, which must change nothing."""
        before = self.clients.page()
        refusal = refusal_of(action, self, administrator)
        assert self.clients.page() == before
        return refusal


@pytest.fixture
def world(clients, administration):
    return World(clients, administration)


def make(world, administrator):
    return world.administration.create("new", rights("tokens:mint"), administrator=administrator)


def ensure(world, administrator):
    return world.administration.create_if_absent(
        "new", rights("tokens:mint"), administrator=administrator
    )


def grant_itself(world, administrator):
    return world.administration.change(
        world.manager.id, MANAGER.scopes, administrator=administrator
    )


def grant(world, administrator):
    return world.administration.change(
        world.target.id, ["clients:write", "tokens:mint"], administrator=administrator
    )


def add_to_itself(world, administrator):
    return world.administration.add_secret(world.manager.id, administrator=administrator)


def add_to_target(world, administrator):
    return world.administration.add_secret(world.target.id, administrator=administrator)


def delete(world, administrator):
    return world.administration.delete(world.target.id, administrator=administrator)


def delete_secret(world, administrator):
    return world.administration.delete_secret(
        world.target.id, world.target.secrets[0].id, administrator=administrator
    )


GRANTS = [make, ensure, grant_itself, grant]
ACTIONS = [*GRANTS, add_to_itself, delete, delete_secret]


@pytest.mark.sec(47)
@pytest.mark.parametrize("action", GRANTS)
def test_scope_withdrawn_during_the_wait_is_not_granted(world, action):
    """Not to the service itself and not to another client."""
    waiting = world.authenticated(world.manager)
    world.administration.change(world.manager.id, ["clients:write"], administrator=OPERATOR)
    refusal = world.refused(action, waiting)
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    assert "tokens:mint" in refusal.detail


@pytest.mark.sec(47)
@pytest.mark.parametrize("action", ACTIONS)
def test_service_that_lost_clients_write_during_the_wait_changes_nothing(world, action):
    waiting = world.authenticated(world.manager)
    left = ["tokens:mint", "users:read"]
    world.administration.change(world.manager.id, left, administrator=OPERATOR)
    refusal = world.refused(action, waiting)
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    assert "clients:write" in refusal.detail


@pytest.mark.sec(47)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("end", ["secret", "client", "expiry"])
def test_credential_that_ended_during_the_wait_changes_nothing(world, clock, action, end):
    """A leaked secret cannot create its successor."""
    manager = world.manager.id
    second = world.administration.add_secret(manager, int(clock.now) + 60, administrator=OPERATOR)
    waiting = world.authenticated(world.manager, second.secret)
    if end == "secret":
        world.administration.delete_secret(manager, second.id, administrator=OPERATOR)
    elif end == "client":
        world.administration.delete(manager, administrator=OPERATOR)
    else:
        clock.now += 60
    expected = Code.CREDENTIALS_EXPIRED if end == "expiry" else Code.CREDENTIALS_INVALID
    assert world.refused(action, waiting).code is expected


@pytest.mark.sec(47)
def test_scope_granted_during_the_wait_can_be_granted(world):
    waiting = world.authenticated(world.manager)
    world.administration.change(
        world.manager.id, [*MANAGER.scopes, "audit:read"], administrator=OPERATOR
    )
    changed = world.administration.change(world.target.id, ["audit:read"], administrator=waiting)
    assert changed.scopes == ["audit:read"]


@pytest.mark.sec(67)
@pytest.mark.parametrize("action", [grant, add_to_target, delete, delete_secret])
def test_client_that_got_a_right_during_the_wait_is_not_changed(world, action):
    """Unless the service has that right itself."""
    waiting = world.authenticated(world.manager)
    world.administration.change(world.target.id, ["keys:write"], administrator=OPERATOR)
    refusal = world.refused(action, waiting)
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    assert "keys:write" in refusal.detail


@pytest.mark.sec(47)
def test_rights_are_read_after_the_lock_is_acquired(world, database):
    """The rights at the start of the wait do not count."""
    waiting = world.authenticated(world.manager)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            store.locked(tx, [world.manager.id])
            refused = pool.submit(refusal_of, grant_itself, world, waiting)
            with suppress(TimeoutError):  # time to reach the lock; too little only misses the wait
                refused.result(timeout=0.3)
            store.change(tx, world.manager.id, rights("clients:write"))
        assert refused.result().code is Code.INSUFFICIENT_SCOPE
    assert world.clients.one(world.manager.id).scopes == ["clients:write"]


@pytest.mark.parametrize(
    "action", [grant, add_to_target, delete_secret, delete], ids=lambda action: action.__name__
)
def test_operator_changes_a_client_with_a_scope_of_a_newer_release(world, database, action):
    with database.write() as tx:
        store.change(tx, world.target.id, rights("clients:write", "new:scope"))
    action(world, OPERATOR)


def test_clients_that_change_each_other_do_not_deadlock(world):
    other = world.administration.create("another", MANAGER, administrator=OPERATOR)
    barrier = threading.Barrier(2, timeout=30)

    def change(administrator, client):
        administrator = world.authenticated(administrator)
        for _ in range(30):
            barrier.wait()
            world.administration.change(client.id, administrator=administrator)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(change, world.manager, other)
        two = pool.submit(change, other, world.manager)
        assert (one.result(), two.result()) == ("done", "done")
