"""The making of service clients, on both databases."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.creation import CreatedClient
from tokensvc.clients.credentials import checksum
from tokensvc.clients.scopes import SCOPES
from tokensvc.core.errors import Code

GIVEN_SECRET = "given-by-the-operator-0123456789abcdef"
MINT = rights("tokens:mint")


def test_a_new_client_may_do_what_it_was_made_for(clients, administration, clock):
    """Its credentials are those that were printed, and it is listed without them."""
    wanted = rights("tokens:mint", "users:read", vouches=True)
    created = administration.create("backend", wanted, grantor=OPERATOR)
    caller = clients.authenticate(created.id, created.secret.secret)
    assert caller.client_id == created.id == "svc.backend"
    assert caller.scopes == {"tokens:mint", "users:read"}
    assert caller.vouches is True
    assert caller.secret_id == created.secret.id
    (listed,) = clients.page()
    assert clients.one("svc.backend") == listed == created.client
    assert (listed.id, listed.name, listed.rights) == ("svc.backend", "backend", wanted)
    assert listed.created_at == int(clock.now)
    (secret,) = listed.secrets
    assert (secret.id, secret.expires_at) == (created.secret.id, None)
    assert (secret.created_at, secret.last_used_at) == (int(clock.now), None)


def test_a_client_vouches_only_when_it_is_told_to(clients, administration):
    """Its word is no fresh sign-in by default."""
    created = administration.create("backend", MINT, grantor=OPERATOR)
    assert clients.authenticate(created.id, created.secret.secret).vouches is False


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
def test_an_id_says_its_name_where_that_is_plain(clients, administration, name, client_id):
    """Else it is random; either authenticates."""
    created = administration.create(name, MINT, grantor=OPERATOR)
    assert re.fullmatch(client_id, created.id)
    assert clients.authenticate(created.id, created.secret.secret).client_id == created.id


@pytest.mark.parametrize(
    "name, scopes, complaint",
    [
        ("", ["tokens:mint"], "name is 1 to 100"),
        ("  ", ["tokens:mint"], "name is 1 to 100"),
        ("x" * 101, ["tokens:mint"], "name is 1 to 100"),
        ("a\nb", ["tokens:mint"], "name is 1 to 100"),
        ("a\x00b", ["tokens:mint"], "name is 1 to 100"),
        ("backend", [], "needs a scope"),
        ("backend", ["tokens:mint", "tokens:burn"], "Unknown: tokens:burn"),
    ],
)
def test_a_client_that_makes_no_sense_is_refused(clients, administration, name, scopes, complaint):
    """The message says what would be right, and no row is left behind."""
    refusal = refusal_of(administration.create, name, rights(*scopes), grantor=OPERATOR)
    assert refusal.code is Code.MALFORMED_REQUEST
    assert complaint in refusal.detail
    assert clients.page() == []


def test_every_scope_can_be_given(clients, administration):
    """The nine that there are."""
    assert len(SCOPES) == 9
    created = administration.create("backend", rights(*SCOPES), grantor=OPERATOR)
    assert clients.authenticate(created.id, created.secret.secret).scopes == SCOPES


def test_a_random_secret_can_be_recognised(administration):
    """256 bits behind a prefix, and a checksum over all of it."""
    secrets = [
        administration.create(f"c{n}", MINT, grantor=OPERATOR).secret.secret for n in range(20)
    ]
    assert len(set(secrets)) == 20
    for secret in secrets:
        assert re.fullmatch(r"tks_[A-Za-z0-9_-]{49}", secret)
        assert secret[-6:] == checksum(secret[:-6])
        assert secret[-6:] != checksum(f"{secret[:-7]}{'a' if secret[-7] != 'a' else 'b'}")


def test_a_name_is_taken_once(clients, administration):
    """A second client of that name would be mistaken for the first."""
    first = administration.create("backend", MINT, grantor=OPERATOR)
    refusal = refusal_of(administration.create, "backend", rights("users:read"), grantor=OPERATOR)
    assert refusal.code is Code.CONFLICT
    assert "'backend' already" in refusal.detail
    assert [client.scopes for client in clients.page()] == [{"tokens:mint"}]
    assert clients.authenticate(first.id, first.secret.secret)


def test_a_name_that_spells_anothers_random_id_is_refused(administration):
    """Ids are unique whatever they were made of; nothing else has that name."""
    taken = administration.create("Acme backend", MINT, grantor=OPERATOR).id.removeprefix("svc.")
    for create in (administration.create, administration.create_if_absent):
        assert refusal_of(create, taken, MINT, grantor=OPERATOR).code is Code.CONFLICT


class TestSecretStores:
    """`clients create --secret-stdin --if-absent`, run at each deployment."""

    def test_the_given_secret_authenticates(self, clients, administration):
        """Under an id that is known beforehand."""
        administration.create("backend", MINT, grantor=OPERATOR, secret=GIVEN_SECRET)
        assert clients.authenticate("svc.backend", GIVEN_SECRET)

    def test_the_second_run_changes_nothing(self, clients, administration):
        """It gives the client as it is, and no secret."""
        ensure = administration.create_if_absent
        first = ensure("backend", MINT, grantor=OPERATOR, secret=GIVEN_SECRET)
        assert first.secret.secret == GIVEN_SECRET
        before = clients.page()
        assert before == [first.client]
        assert (
            ensure("backend", rights("users:read"), grantor=OPERATOR, secret=GIVEN_SECRET)
            == first.client
        )
        assert ensure("backend", MINT, grantor=OPERATOR) == first.client
        assert clients.page() == before

    def test_another_secret_is_not_ignored(self, administration):
        """The backend would get 401 for ever: the operator is told to rotate."""
        ensure = administration.create_if_absent
        ensure("backend", MINT, grantor=OPERATOR, secret=GIVEN_SECRET)
        refusal = refusal_of(ensure, "backend", MINT, grantor=OPERATOR, secret="x" * 40)
        assert refusal.code is Code.CONFLICT
        assert "with another secret" in refusal.detail

    def test_deployments_at_once_make_one_client(self, database, clients, clock):
        """Of several, one makes it and the others find it."""
        barrier = threading.Barrier(4)

        def deploy(_):
            barrier.wait()
            return ClientAdministration(database, clock).create_if_absent(
                "backend", MINT, grantor=OPERATOR, secret=GIVEN_SECRET
            )

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(deploy, range(4)))
        assert sum(isinstance(each, CreatedClient) for each in made) == 1
        (client,) = clients.page()
        assert len(client.secrets) == 1

    @pytest.mark.parametrize("secret", ["", "x" * 31, "x" * 257, "x" * 31 + " ", "é" * 40])
    def test_a_weak_or_unsendable_secret_is_refused(self, clients, administration, secret):
        """32 to 256 printable ASCII characters, which any client can put into a header."""
        refusal = refusal_of(
            administration.create, "backend", MINT, grantor=OPERATOR, secret=secret
        )
        assert refusal.code is Code.MALFORMED_REQUEST
        assert "32 to 256 printable ASCII" in refusal.detail
        assert clients.page() == []


def test_clients_are_listed_by_their_ids_page_by_page(clients, administration, clock):
    """A page begins behind the last id that was seen, whatever has become of that client."""
    for name in ("zeta", "alpha", "mid", "beta"):
        administration.create(name, MINT, grantor=OPERATOR)
    clock.now += 1
    administration.add_secret("svc.alpha", grantor=OPERATOR)
    first = clients.page(limit=2)
    assert [client.name for client in first] == ["alpha", "beta"]
    assert [len(client.secrets) for client in first] == [2, 1]
    created_at = [secret.created_at for secret in first[0].secrets]
    assert created_at == sorted(created_at)
    administration.delete("svc.beta", grantor=OPERATOR)
    rest = clients.page(after="svc.beta", limit=5)
    assert [client.name for client in rest] == ["mid", "zeta"]
    assert clients.page(after="svc.zeta", limit=5) == []
