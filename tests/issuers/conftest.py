"""Fixtures for issuers: a store in a real database, and issuers on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testing.doubles.issuer import IssuerDouble
from tests.net.conftest import authority, resolve  # noqa: F401 - fixtures
from tokensvc.app.key_files import read_issuer_keys
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.tables import issuer_keys

MakeIssuers = Callable[..., Issuers]


@pytest.fixture(scope="session")
def issuer_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: Path = tmp_path_factory.mktemp("issuers")
    database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=4)
    schema.migrate(database)
    yield database
    database.close()


@pytest.fixture
def store(issuer_database: Database) -> IssuerKeyStore:
    """Return an empty store: a port, and so an `iss`, can be reused."""
    with issuer_database.write() as tx:
        tx.execute(issuer_keys.delete())
    return IssuerKeyStore(issuer_database)


@pytest.fixture
def make_issuers(store: IssuerKeyStore, clock: Callable[[], float]) -> MakeIssuers:
    """Return a function that builds issuers with the test's store and clock."""

    def make(
        *settings: IssuerSettings,
        alphabet: Alphabet = Alphabet.DOCUMENTED,
        store: IssuerKeyStore = store,
        waiters: int = 2,
        **jwks: object,
    ) -> Issuers:
        times = JwksSettings.model_validate(jwks)
        return Issuers(
            settings,
            times,
            alphabet,
            store,
            clock,
            key_files=read_issuer_keys(settings),
            wait_slots=WaitSlots(waiters),
        )

    return make


@pytest.fixture
def idp(clock: Callable[[], float]) -> Iterator[IssuerDouble]:
    """Yield a provider on the test's clock."""
    with IssuerDouble(clock=clock) as double:
        yield double
