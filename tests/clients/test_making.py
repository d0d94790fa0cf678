"""Creation of service clients, on both databases."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.service_clients import OPERATOR, administration_of, refusal_of, rights
from tokensvc.audit.store import purge
from tokensvc.clients.credentials import checksum
from tokensvc.clients.state import NewServiceClient
from tokensvc.clients.tables import service_clients
from tokensvc.core.errors import Code, Refusal

GIVEN_SECRET = "given-by-the-operator-0123456789abcdef"
MINT = rights("tokens:mint")


@pytest.mark.parametrize(
    "name, client_id",
    [
        ("backend", r"svc\.backend"),
        ("shop-2_eu", r"svc\.shop-2_eu"),
        ("a" * 63, rf"svc\.{'a' * 63}"),
        ("a" * 64, r"svc\.[0-9a-f]{16}"),
        ("Acme backend", r"svc\.[0-9a-f]{16}"),
        ("-x", r"svc\.[0-9a-f]{16}"),
        ("магазин", r"svc\.[0-9a-f]{16}"),
    ],
)
def test_id_contains_a_plain_name_and_is_random_otherwise(clients, administration, name, client_id):
    created = administration.create(name, MINT, administrator=OPERATOR)
    assert re.fullmatch(client_id, created.id)
    assert clients.authenticate(created.id, created.secret).client_id == created.id


@pytest.mark.sec(47)
def test_random_secret_has_prefix_and_checksum(administration):
    secrets = [
        administration.create(f"c{n}", MINT, administrator=OPERATOR).secret for n in range(32)
    ]
    assert min(len({*place}) for place in zip(*(text[4:] for text in secrets), strict=True)) > 1
    for secret in secrets:
        assert re.fullmatch(r"tks_[A-Za-z0-9_-]{49}", secret)
        assert secret[-6:] == checksum(secret[:-6])
        assert secret[-6:] != checksum(f"{secret[:-7]}{'a' if secret[-7] != 'a' else 'b'}")


def test_taken_name_is_refused(clients, administration):
    first = administration.create("backend", MINT, administrator=OPERATOR)
    refusal = refusal_of(
        administration.create, "backend", rights("users:read"), administrator=OPERATOR
    )
    assert refusal.code is Code.CONFLICT
    assert "'backend' already exists" in refusal.detail
    assert [client.scopes for client in clients.page()] == [["tokens:mint"]]
    assert clients.authenticate(first.id, first.secret)


@pytest.mark.sec(67)
@pytest.mark.parametrize(
    ("first", "second"), [("backend", "BackEnd"), ("Straße", "STRASSE"), ("Магазин", "магазин")]
)
def test_name_that_differs_only_by_case_is_refused(clients, administration, first, second):
    """An operator would mix the two up. `create_if_absent` does not return the other one."""
    administration.create(first, MINT, administrator=OPERATOR)
    for create in (administration.create, administration.create_if_absent):
        refusal = refusal_of(create, second, MINT, administrator=OPERATOR)
        assert refusal.code is Code.CONFLICT
        assert repr(first) in refusal.detail
    assert [client.name for client in clients.page()] == [first]


@pytest.mark.sec(67)
def test_of_two_names_that_differ_only_by_case_one_is_created(database, clock):
    """Simultaneously, on connections of their own."""
    names = ["backend", "Backend", "BACKEND", "backEnd"]
    start = threading.Barrier(len(names))

    def create(name):
        start.wait(timeout=60)
        try:
            made = administration_of(database, clock).create(name, MINT, administrator=OPERATOR)
        except Refusal as refusal:
            return refusal.code
        return made.name

    with ThreadPoolExecutor(len(names)) as threads:
        results = list(threads.map(create, names))
    assert results.count(Code.CONFLICT) == len(names) - 1


@pytest.mark.sec(67)
@pytest.mark.parametrize("name", ["backend", "a" * 63])
def test_id_is_never_used_again(clients, administration, database, trail, name):
    """Not even when the audit trail has forgotten the deleted client."""
    ids = set()
    for _ in range(3):
        created = administration.create(name, MINT, administrator=OPERATOR)
        assert clients.authenticate(created.id, created.secret).client_id == created.id
        assert re.fullmatch(rf"svc\.{name[:54]}\w*(-[0-9a-f]{{8}})?", created.id)
        ids.add(created.id)
        administration.delete(created.id, administrator=OPERATOR)
    assert len(ids) == 3
    assert f"svc.{name}" in ids
    with database.write() as tx:
        purge(tx, time.time(), 100, retention=-(2**40))
    assert [event.action for event in trail.page(limit=100, filters={})] == ["audit:purged"]
    assert administration.create(name, MINT, administrator=OPERATOR).id not in ids


@pytest.mark.sec(67)
def test_database_refuses_an_id_that_was_used(administration, database):
    """Whichever release inserts the row."""
    created = administration.create("backend", MINT, administrator=OPERATOR)
    administration.delete(created.id, administrator=OPERATOR)
    with pytest.raises(sa.exc.IntegrityError), database.write() as tx:
        row = {"id": created.id, "name": "x", "scopes": "[]", "vouches": False, "created_at": 0}
        tx.execute(service_clients.insert(), row)


def test_name_equal_to_the_random_id_of_another_client_gets_another_id(administration):
    taken = administration.create("Acme backend", MINT, administrator=OPERATOR).id
    created = administration.create(taken.removeprefix("svc."), MINT, administrator=OPERATOR)
    assert created.id.startswith(f"{taken}-")


class TestSecretStores:
    """`clients create --secret-stdin --if-absent`, run by each deployment."""

    def test_concurrent_deployments_create_one_client(self, database, clients, clock):
        barrier = threading.Barrier(4)

        def deploy(_):
            barrier.wait()
            return administration_of(database, clock).create_if_absent(
                "backend", MINT, administrator=OPERATOR, secret=GIVEN_SECRET
            )

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(deploy, range(4)))
        assert sum(isinstance(result, NewServiceClient) for result in results) == 1
        (client,) = clients.page()
        assert len(client.secrets) == 1

    @pytest.mark.parametrize("secret", ["", "x" * 31, "x" * 257, "x" * 31 + " ", "é" * 40])
    def test_secret_other_than_32_to_256_printable_ascii_is_refused(
        self, clients, administration, secret
    ):
        refusal = refusal_of(
            administration.create, "backend", MINT, administrator=OPERATOR, secret=secret
        )
        assert refusal.code is Code.MALFORMED_REQUEST
        assert "32 to 256 printable ASCII" in refusal.detail
        assert clients.page() == []


def test_page_starts_after_an_id_even_of_a_deleted_client(clients, administration, clock):
    for name in ("zeta", "alpha", "mid", "beta"):
        administration.create(name, MINT, administrator=OPERATOR)
    clock.now += 1
    administration.add_secret("svc.alpha", administrator=OPERATOR)
    first = clients.page(limit=2)
    assert [client.name for client in first] == ["alpha", "beta"]
    assert [len(client.secrets) for client in first] == [2, 1]
    created_at = [secret.created_at for secret in first[0].secrets]
    assert created_at == sorted(created_at)
    administration.delete("svc.beta", administrator=OPERATOR)
    rest = clients.page(after="svc.beta", limit=5)
    assert [client.name for client in rest] == ["mid", "zeta"]
    assert clients.page(after="svc.zeta", limit=5) == []
