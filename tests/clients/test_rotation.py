"""The secrets of service clients, from the first to the last, on both databases."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients.store import ClientStore
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.tables import client_secrets

GIVEN_SECRET = "given-by-the-operator-0123456789abcdef"
MINT = rights("tokens:mint")


@pytest.fixture
def created(administration):
    return administration.create("backend", MINT, grantor=OPERATOR)


def secret_count(database):
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(client_secrets))


@pytest.mark.sec(47)
def test_both_secrets_work_until_the_old_one_is_deleted(clients, administration, created):
    """Then only the new one does."""
    added = administration.add_secret(created.id, grantor=OPERATOR)
    assert clients.authenticate(created.id, created.secret.secret).secret_id == created.secret.id
    assert clients.authenticate(created.id, added.secret).secret_id == added.id
    administration.delete_secret(created.id, created.secret.id, grantor=OPERATOR)
    assert clients.authenticate(created.id, added.secret)
    refusal = refusal_of(clients.authenticate, created.id, created.secret.secret)
    assert refusal.code is Code.CREDENTIALS_INVALID


@pytest.mark.sec(47)
def test_a_third_live_secret_is_refused(database, administration, created):
    """The message names the two, of which one has to go first."""
    second = administration.add_secret(created.id, grantor=OPERATOR)
    refusal = refusal_of(administration.add_secret, created.id, grantor=OPERATOR)
    assert refusal.code is Code.CONFLICT
    assert created.secret.id in refusal.detail
    assert second.id in refusal.detail
    assert secret_count(database) == 2


@pytest.mark.sec(47)
def test_rotations_at_once_do_not_pass_the_limit(database, administration, created, monkeypatch):
    """Of several that count the secrets at the same time, one gets the second place."""
    locked = ClientStore.locked

    def locked_for_a_while(*args):
        client = locked(*args)
        time.sleep(0.1)
        return client

    def rotate(_):
        try:
            administration.add_secret(created.id, grantor=OPERATOR)
        except Refusal as refusal:
            return refusal.code
        return "added"

    monkeypatch.setattr(ClientStore, "locked", locked_for_a_while)
    with ThreadPoolExecutor(3) as pool:
        outcomes = sorted(pool.map(rotate, range(3)))
    assert outcomes == ["added", Code.CONFLICT, Code.CONFLICT]
    assert secret_count(database) == 2


def test_a_secret_is_not_added_to_a_client_that_is_being_deleted(
    database, clients, administration, created, monkeypatch
):
    """Whichever comes second finds what the first has left."""
    locked, entered = ClientStore.locked, threading.Barrier(2)

    def met(*args):
        entered.wait()
        return locked(*args)

    def outcome_of(act, *args):
        try:
            act(*args, grantor=OPERATOR)
        except Refusal as refusal:
            return refusal.code
        return "done"

    monkeypatch.setattr(ClientStore, "locked", met)
    if database.dialect == "sqlite":
        entered = threading.Barrier(1)  # it lets one writer in at a time
    with ThreadPoolExecutor(2) as pool:
        added = pool.submit(outcome_of, administration.add_secret, created.id)
        deleted = pool.submit(outcome_of, administration.delete, created.id)
    assert deleted.result() == "done"
    assert added.result() in ("done", Code.NOT_FOUND)
    assert clients.page() == []
    assert secret_count(database) == 0


def test_expired_secrets_make_room(database, clients, administration, created, clock):
    """They are gone for good then; a live one never is."""
    administration.add_secret(created.id, int(clock.now) + 10, grantor=OPERATOR)
    clock.now += 10
    added = administration.add_secret(created.id, secret=GIVEN_SECRET, grantor=OPERATOR)
    (client,) = clients.page()
    assert {secret.id for secret in client.secrets} == {created.secret.id, added.id}
    assert clients.authenticate(created.id, GIVEN_SECRET)
    assert secret_count(database) == 2


@pytest.mark.parametrize("ahead", [0, -1, -(10**9)])
def test_an_expiry_that_has_passed_is_refused(database, administration, created, clock, ahead):
    """Such a secret would be a mistake."""
    expires_at = int(clock.now) + ahead
    refusal = refusal_of(administration.add_secret, created.id, expires_at, grantor=OPERATOR)
    assert refusal.code is Code.MALFORMED_REQUEST
    assert "has passed" in refusal.detail
    assert secret_count(database) == 1


def test_a_deleted_client_is_gone_with_its_secrets(database, clients, administration, created):
    """At once, and a new one of the same name does not bring them back."""
    administration.add_secret(created.id, grantor=OPERATOR)
    administration.delete(created.id, grantor=OPERATOR)
    assert clients.page() == []
    assert secret_count(database) == 0
    administration.create("backend", MINT, grantor=OPERATOR)
    refusal = refusal_of(clients.authenticate, created.id, created.secret.secret)
    assert refusal.code is Code.CREDENTIALS_INVALID


@pytest.mark.parametrize("client_id", ["svc.none", "none", "", "svc.\x00", "svc.a'--"])
def test_what_is_not_there_cannot_be_changed(clients, administration, created, client_id):
    """Every act says so, on ids that no client can have too."""
    for act, *arguments in (
        (administration.add_secret, client_id),
        (administration.change, client_id),
        (administration.delete, client_id),
        (administration.delete_secret, client_id, created.secret.id),
        (administration.delete_secret, created.id, "sec_none"),
        (administration.delete_secret, created.id, "\x00"),
    ):
        refusal = refusal_of(act, *arguments, grantor=OPERATOR)
        assert refusal.code is Code.NOT_FOUND
        assert "`tokensvc clients list`" in refusal.detail
    assert refusal_of(clients.one, client_id).code is Code.NOT_FOUND
    assert clients.authenticate(created.id, created.secret.secret)


def test_a_secret_of_another_client_cannot_be_deleted(clients, administration, created):
    """The client and its secret have to belong together."""
    other = administration.create("other", MINT, grantor=OPERATOR)
    refusal = refusal_of(
        administration.delete_secret, created.id, other.secret.id, grantor=OPERATOR
    )
    assert refusal.code is Code.NOT_FOUND
    assert clients.authenticate(other.id, other.secret.secret)
