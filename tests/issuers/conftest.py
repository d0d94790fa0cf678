"""What tests of issuers share: a store in a real database, and issuers on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.issuer import IssuerDouble
from tokensvc.core.user_ids import Alphabet
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.database.tables import issuer_keys
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore

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
    """Give an empty store: a port, and so an `iss`, may come again."""
    with issuer_database.write() as tx:
        tx.execute(issuer_keys.delete())
    return IssuerKeyStore(issuer_database)


@pytest.fixture
def make_issuers(store: IssuerKeyStore, clock: Callable[[], float]) -> MakeIssuers:
    """Give a function that makes issuers of settings, on the test's store and clock."""

    def make(
        *settings: IssuerSettings,
        alphabet: Alphabet = Alphabet.DOCUMENTED,
        store: IssuerKeyStore = store,
        **jwks: object,
    ) -> Issuers:
        return Issuers(settings, JwksSettings.model_validate(jwks), alphabet, store, clock)

    return make


@pytest.fixture
def idp(clock: Callable[[], float]) -> Iterator[IssuerDouble]:
    """Give a provider on the test's clock."""
    with IssuerDouble(clock=clock) as double:
        yield double
