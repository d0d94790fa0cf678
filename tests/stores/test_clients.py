"""The upkeep of service clients by operators, on both databases."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tokensvc.clients.credentials import checksum
from tokensvc.clients.scopes import SCOPES
from tokensvc.clients.service import ClientConflictError, Clients, UnknownClientError
from tokensvc.clients.store import ClientStore
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.tables import client_secrets

GIVEN_SECRET = "given-by-the-operator-0123456789abcdef"


@pytest.fixture
def clients(database, clock):
    return Clients(database, clock)


def secret_count(database):
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(client_secrets))


def test_a_new_client_may_do_what_it_was_made_for(clients, clock):
    """Its credentials are those that were printed, and it is listed without them."""
    created = clients.create("backend", ["tokens:mint", "users:read"], vouches=True)
    caller = clients.authenticate(created.id, created.secret.secret)
    assert caller.client_id == created.id == "svc.backend"
    assert caller.scopes == created.scopes == {"tokens:mint", "users:read"}
    assert caller.vouches is created.vouches is True
    (listed,) = clients.list()
    assert (listed.id, listed.name, listed.vouches) == ("svc.backend", "backend", True)
    assert listed.scopes == created.scopes
    assert listed.created_at == int(clock.now)
    (secret,) = listed.secrets
    assert (secret.id, secret.expires_at) == (created.secret.id, None)
    assert secret.created_at == int(clock.now)


def test_a_client_vouches_only_when_it_is_told_to(clients):
    """Its word is no fresh sign-in by default."""
    created = clients.create("backend", ["tokens:mint"])
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
def test_an_id_says_its_name_where_that_is_plain(clients, name, client_id):
    """Else it is random; either authenticates."""
    created = clients.create(name, ["tokens:mint"])
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
def test_a_client_that_makes_no_sense_is_refused(clients, name, scopes, complaint):
    """The message says what would be right, and no row is left behind."""
    with pytest.raises(ValueError, match=complaint):
        clients.create(name, scopes)
    assert clients.list() == []


def test_every_scope_can_be_given(clients):
    """The nine that there are."""
    assert len(SCOPES) == 9
    created = clients.create("backend", SCOPES)
    assert clients.authenticate(created.id, created.secret.secret).scopes == SCOPES


def test_a_random_secret_can_be_recognised(clients):
    """256 bits behind a prefix, and a checksum over all of it."""
    secrets = [clients.create(f"c{n}", ["tokens:mint"]).secret.secret for n in range(20)]
    assert len(set(secrets)) == 20
    for secret in secrets:
        assert re.fullmatch(r"tks_[A-Za-z0-9_-]{49}", secret)
        assert secret[-6:] == checksum(secret[:-6])
        assert secret[-6:] != checksum(f"{secret[:-7]}{'a' if secret[-7] != 'a' else 'b'}")


def test_a_name_is_taken_once(clients):
    """A second client of that name would be mistaken for the first."""
    first = clients.create("backend", ["tokens:mint"])
    with pytest.raises(ClientConflictError, match="'backend' already"):
        clients.create("backend", ["users:read"])
    assert [client.scopes for client in clients.list()] == [{"tokens:mint"}]
    assert clients.authenticate(first.id, first.secret.secret)


def test_a_name_that_spells_anothers_random_id_is_refused(clients):
    """Ids are unique whatever they were made of."""
    taken = clients.create("Acme backend", ["tokens:mint"]).id.removeprefix("svc.")
    with pytest.raises(ClientConflictError):
        clients.create(taken, ["tokens:mint"])


class TestSecretStores:
    """`clients create --secret-stdin --if-absent`, run at each deployment."""

    def test_the_given_secret_authenticates(self, clients):
        """Under an id that is known beforehand."""
        clients.create("backend", ["tokens:mint"], secret=GIVEN_SECRET)
        assert clients.authenticate("svc.backend", GIVEN_SECRET)

    def test_the_second_run_changes_nothing(self, clients):
        """It gives the client as it is, and no secret."""
        first = clients.create("backend", ["tokens:mint"], secret=GIVEN_SECRET, if_absent=True)
        before = clients.list()
        second = clients.create("backend", ["users:read"], secret=GIVEN_SECRET, if_absent=True)
        third = clients.create("backend", ["tokens:mint"], if_absent=True)
        assert first.secret.secret == GIVEN_SECRET
        for again in (second, third):
            assert (again.id, again.scopes, again.secret) == (first.id, first.scopes, None)
        assert clients.list() == before

    def test_another_secret_is_not_ignored(self, clients):
        """The backend would get 401 for ever: the operator is told to rotate."""
        clients.create("backend", ["tokens:mint"], secret=GIVEN_SECRET, if_absent=True)
        with pytest.raises(ClientConflictError, match="with another secret"):
            clients.create("backend", ["tokens:mint"], secret="x" * 40, if_absent=True)

    def test_deployments_at_once_make_one_client(self, database, clock):
        """Of several, one makes it and the others find it."""
        barrier = threading.Barrier(4)

        def deploy(_):
            barrier.wait()
            return Clients(database, clock).create(
                "backend", ["tokens:mint"], secret=GIVEN_SECRET, if_absent=True
            )

        with ThreadPoolExecutor(4) as pool:
            created = list(pool.map(deploy, range(4)))
        assert sorted(each.secret is None for each in created) == [False, True, True, True]
        assert len(Clients(database, clock).list()) == 1
        assert secret_count(database) == 1

    @pytest.mark.parametrize("secret", ["", "x" * 31, "x" * 257, "x" * 31 + " ", "é" * 40])
    def test_a_weak_or_unsendable_secret_is_refused(self, clients, secret):
        """32 to 256 printable ASCII characters, which any client can put into a header."""
        with pytest.raises(ValueError, match="32 to 256 printable ASCII"):
            clients.create("backend", ["tokens:mint"], secret=secret)
        assert clients.list() == []


class TestRotation:
    """Two live secrets at once, so that a client rotates without a gap."""

    def test_both_secrets_work_until_the_old_one_is_deleted(self, clients):
        """Then only the new one does."""
        created = clients.create("backend", ["tokens:mint"])
        added = clients.add_secret(created.id)
        assert clients.authenticate(created.id, created.secret.secret)
        assert clients.authenticate(created.id, added.secret)
        clients.delete_secret(created.id, created.secret.id)
        assert clients.authenticate(created.id, added.secret)
        with pytest.raises(Refusal) as refused:
            clients.authenticate(created.id, created.secret.secret)
        assert refused.value.code is Code.CREDENTIALS_INVALID

    def test_a_third_live_secret_is_refused(self, database, clients):
        """The message names the two, of which one has to go first."""
        created = clients.create("backend", ["tokens:mint"])
        second = clients.add_secret(created.id)
        with pytest.raises(ClientConflictError) as raised:
            clients.add_secret(created.id)
        assert created.secret.id in str(raised.value)
        assert second.id in str(raised.value)
        assert secret_count(database) == 2

    def test_rotations_at_once_do_not_pass_the_limit(self, database, clients, monkeypatch):
        """Of several that count the secrets at the same time, one gets the second place."""
        created = clients.create("backend", ["tokens:mint"])
        locked = ClientStore.locked

        def locked_for_a_while(*args):
            client = locked(*args)
            time.sleep(0.1)
            return client

        def rotate(_):
            try:
                clients.add_secret(created.id)
            except ClientConflictError:
                return False
            return True

        monkeypatch.setattr(ClientStore, "locked", locked_for_a_while)
        with ThreadPoolExecutor(3) as pool:
            assert sorted(pool.map(rotate, range(3))) == [False, False, True]
        assert secret_count(database) == 2

    def test_expired_secrets_make_room(self, database, clients, clock):
        """They are gone for good then; a live one never is."""
        created = clients.create("backend", ["tokens:mint"])
        clients.add_secret(created.id, expires_at=int(clock.now) + 10)
        clock.now += 10
        added = clients.add_secret(created.id, secret=GIVEN_SECRET)
        (client,) = clients.list()
        assert {secret.id for secret in client.secrets} == {created.secret.id, added.id}
        assert clients.authenticate(created.id, GIVEN_SECRET)
        assert secret_count(database) == 2

    @pytest.mark.parametrize("ahead", [0, -1, -(10**9)])
    def test_an_expiry_that_has_passed_is_refused(self, database, clients, clock, ahead):
        """Such a secret would be a mistake."""
        created = clients.create("backend", ["tokens:mint"])
        with pytest.raises(ValueError, match="has passed"):
            clients.add_secret(created.id, expires_at=int(clock.now) + ahead)
        assert secret_count(database) == 1

    def test_a_deleted_client_is_gone_with_its_secrets(self, database, clients):
        """At once, and a new one of the same name does not bring them back."""
        created = clients.create("backend", ["tokens:mint"])
        clients.add_secret(created.id)
        clients.delete(created.id)
        assert clients.list() == []
        assert secret_count(database) == 0
        clients.create("backend", ["tokens:mint"])
        with pytest.raises(Refusal):
            clients.authenticate(created.id, created.secret.secret)

    @pytest.mark.parametrize("client_id", ["svc.none", "none", "", "svc.\x00", "svc.a'--"])
    def test_what_is_not_there_cannot_be_changed(self, clients, client_id):
        """Every act says so, on ids that no client can have too."""
        created = clients.create("backend", ["tokens:mint"])
        for act in (
            lambda: clients.add_secret(client_id),
            lambda: clients.delete(client_id),
            lambda: clients.delete_secret(client_id, created.secret.id),
            lambda: clients.delete_secret(created.id, "sec_none"),
        ):
            with pytest.raises(UnknownClientError, match="`tokensvc clients list`"):
                act()
        assert clients.authenticate(created.id, created.secret.secret)

    def test_a_secret_of_another_client_cannot_be_deleted(self, clients):
        """The client and its secret have to belong together."""
        one, other = (clients.create(name, ["tokens:mint"]) for name in ("one", "other"))
        with pytest.raises(UnknownClientError):
            clients.delete_secret(one.id, other.secret.id)
        assert clients.authenticate(other.id, other.secret.secret)


def test_clients_are_listed_oldest_first(clients, clock):
    """With their secrets in the same order."""
    for name in ("zeta", "alpha", "mid"):
        clients.create(name, ["tokens:mint"])
        clock.now += 1
    added = clients.add_secret("svc.zeta", expires_at=int(clock.now) + 60)
    listed = clients.list()
    assert [client.name for client in listed] == ["zeta", "alpha", "mid"]
    assert [secret.id for secret in listed[0].secrets][-1] == added.id
    assert listed[0].secrets[-1].expires_at == int(clock.now) + 60
