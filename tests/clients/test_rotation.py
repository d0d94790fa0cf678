"""Secrets of service clients, on both databases."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients import store
from tokensvc.clients.tables import client_secrets
from tokensvc.core.errors import Code, Refusal

GIVEN_SECRET = "given-by-the-operator-0123456789abcdef"
MINT = rights("tokens:mint")


@pytest.fixture
def created(administration):
    return administration.create("backend", MINT, administrator=OPERATOR)


def secret_count(database):
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(client_secrets))


@pytest.mark.sec(47)
def test_concurrent_rotations_leave_two_secrets(database, administration, created, monkeypatch):
    locked = store.locked

    def locked_for_a_while(*args):
        client = locked(*args)
        time.sleep(0.1)
        return client

    def rotate(_):
        try:
            administration.add_secret(created.id, administrator=OPERATOR)
        except Refusal as refusal:
            return refusal.code
        return "added"

    monkeypatch.setattr(store, "locked", locked_for_a_while)
    with ThreadPoolExecutor(3) as pool:
        outcomes = sorted(pool.map(rotate, range(3)))
    assert outcomes == ["added", Code.CONFLICT, Code.CONFLICT]
    assert secret_count(database) == 2


def test_secret_is_not_added_to_a_client_that_is_being_deleted(
    database, clients, administration, created, monkeypatch
):
    """The result does not depend on which transaction is first."""
    locked, entered = store.locked, threading.Barrier(2)

    def wait_for_both(*args):
        entered.wait()
        return locked(*args)

    def outcome_of(action, *args):
        try:
            action(*args, administrator=OPERATOR)
        except Refusal as refusal:
            return refusal.code
        return "done"

    monkeypatch.setattr(store, "locked", wait_for_both)
    if database.dialect == "sqlite":
        entered = threading.Barrier(1)  # SQLite has one writer at a time
    with ThreadPoolExecutor(2) as pool:
        added = pool.submit(outcome_of, administration.add_secret, created.id)
        deleted = pool.submit(outcome_of, administration.delete, created.id)
    assert deleted.result() == "done"
    assert added.result() in ("done", Code.NOT_FOUND)
    assert clients.page() == []
    assert secret_count(database) == 0


def test_expired_secret_is_replaced(database, clients, administration, created, clock):
    administration.add_secret(created.id, int(clock.now) + 10, administrator=OPERATOR)
    clock.now += 10
    added = administration.add_secret(created.id, secret=GIVEN_SECRET, administrator=OPERATOR)
    (client,) = clients.page()
    assert {secret.id for secret in client.secrets} == {created.secrets[0].id, added.id}
    assert clients.authenticate(created.id, GIVEN_SECRET)
    assert secret_count(database) == 2


@pytest.mark.parametrize("ahead", [0, -1, -(10**9)])
def test_expiry_in_the_past_is_refused(database, administration, created, clock, ahead):
    expires_at = int(clock.now) + ahead
    refusal = refusal_of(administration.add_secret, created.id, expires_at, administrator=OPERATOR)
    assert refusal.code is Code.MALFORMED_REQUEST
    assert "in the past" in refusal.detail
    assert secret_count(database) == 1


def test_secrets_of_a_deleted_client_do_not_authenticate_a_new_one_of_its_name(
    database, clients, administration, created
):
    administration.add_secret(created.id, administrator=OPERATOR)
    administration.delete(created.id, administrator=OPERATOR)
    assert clients.page() == []
    assert secret_count(database) == 0
    administration.create("backend", MINT, administrator=OPERATOR)
    refusal = refusal_of(clients.authenticate, created.id, created.secret)
    assert refusal.code is Code.CREDENTIALS_INVALID


def test_secret_of_another_client_is_not_deleted(clients, administration, created):
    other = administration.create("other", MINT, administrator=OPERATOR)
    refusal = refusal_of(
        administration.delete_secret, created.id, other.secrets[0].id, administrator=OPERATOR
    )
    assert refusal.code is Code.NOT_FOUND
    assert clients.authenticate(other.id, other.secret)
