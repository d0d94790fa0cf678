"""Attacks on service credentials: guessing, timing, reading the database."""

import contextlib
import hashlib
import hmac

import pytest

from testing.service_clients import OPERATOR, administration_of, refusal_of, rights
from tokensvc.clients import service
from tokensvc.core.errors import Code, Refusal
from tokensvc.database import schema
from tokensvc.database.engine import Database


@pytest.fixture
def client(administration):
    return administration.create("backend", rights("tokens:mint"), administrator=OPERATOR)


@pytest.mark.sec(47)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: "",
        lambda secret: secret[:-1],
        lambda secret: secret + "A",
        lambda secret: secret.swapcase(),
        lambda secret: f" {secret}",
        lambda secret: f"{secret}\n",
        lambda secret: hashlib.sha256(secret.encode()).hexdigest(),
        lambda secret: "-" * 64,
        lambda secret: "\ud800",
        lambda secret: "\x00",
        lambda secret: "x" * 100_000,
    ],
)
def test_only_the_secret_authenticates(clients, client, spoil):
    """Not a part of it, not its stored hash, nothing that breaks the parser."""
    refusal = refusal_of(clients.authenticate, client.id, spoil(client.secret))
    assert refusal.code is Code.CREDENTIALS_INVALID
    assert clients.authenticate(client.id, client.secret)


UNKNOWN_IDS = [
    "svc.unknown",
    "svc.",
    "svc.BACKEND",
    "svc.backend ",
    "svc.backend\n",
    "svc.backend\x00",
    "svc.backend' OR '1'='1",
    "svc.%",
    "backend",
    "",
    "svc.\ud800",
    "svc." + "a" * 100_000,
]


@pytest.mark.sec(47)
@pytest.mark.parametrize("client_id", UNKNOWN_IDS)
def test_unknown_client_gets_the_refusal_of_a_wrong_secret(clients, client, client_id):
    """No refusal shows which clients exist, and no unparsed ID reaches the database."""
    wrong = refusal_of(clients.authenticate, client.id, "wrong")
    unknown = refusal_of(clients.authenticate, client_id, client.secret)
    for field in ("code", "detail", "reason", "members", "retry_after"):
        assert getattr(unknown, field) == getattr(wrong, field)


@pytest.mark.sec(47)
def test_every_failure_costs_the_same_work(clients, administration, client, monkeypatch):
    """One query, one hash, two comparisons: for no client, one secret, two secrets, a match."""
    work = []

    def counted(name, function):
        def call(*args):
            work.append(name)
            return function(*args)

        return call

    monkeypatch.setattr(Database, "fetch", counted("query", Database.fetch))
    monkeypatch.setattr(service, "hash_secret", counted("hash", service.hash_secret))
    monkeypatch.setattr(hmac, "compare_digest", counted("compare", hmac.compare_digest))
    administration.create("two", rights("tokens:mint"), administrator=OPERATOR)
    administration.add_secret("svc.two", administrator=OPERATOR)
    done = []
    for client_id, secret in (
        ("svc.unknown", "wrong"),
        ("no id at all", "wrong"),
        (client.id, "wrong"),
        ("svc.two", "wrong"),
        (client.id, client.secret),
    ):
        work.clear()
        with contextlib.suppress(Refusal):
            clients.authenticate(client_id, secret)
        done.append(sorted(work))
    assert done == [["compare", "compare", "hash", "query"]] * 5


@pytest.mark.sec(47)
def test_expired_secret_differs_from_a_wrong_one(clients, administration, client, clock):
    """Its owner must use the newer one. Other secrets stay valid."""
    expiring = administration.add_secret(client.id, int(clock.now) + 60, administrator=OPERATOR)
    clock.now += 59.9
    assert clients.authenticate(client.id, expiring.secret)
    clock.now += 0.1
    assert (
        refusal_of(clients.authenticate, client.id, expiring.secret).code
        is Code.CREDENTIALS_EXPIRED
    )
    assert refusal_of(clients.authenticate, client.id, "wrong").code is Code.CREDENTIALS_INVALID
    assert clients.authenticate(client.id, client.secret)


@pytest.mark.sec(25)
@pytest.mark.sec(47)
def test_database_contains_only_hashes_of_secrets(tmp_path, sqlite_url, clock):
    database = Database.open(sqlite_url, pool_size=2)
    schema.migrate(database)
    administration, may = administration_of(database, clock), rights("tokens:mint")
    given = "given-by-the-operator-0123456789abcdef"
    secrets = [
        administration.create("backend", may, administrator=OPERATOR).secret,
        administration.create("given", may, administrator=OPERATOR, secret=given).secret,
        administration.add_secret("svc.given", administrator=OPERATOR).secret,
    ]
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    database.close()
    for secret in secrets:
        assert hashlib.sha256(secret.encode()).hexdigest().encode() in files
        assert secret.encode() not in files
        assert secret[4:-6].encode() not in files


@pytest.mark.sec(25)
def test_secret_is_not_in_a_repr(clients, administration, client):
    added = administration.add_secret(client.id, administrator=OPERATOR)
    for shown in (client, added, clients, administration, clients.page()):
        assert client.secret not in repr(shown)
        assert added.secret not in repr(shown)
        assert service.hash_secret(added.secret) not in repr(shown)
