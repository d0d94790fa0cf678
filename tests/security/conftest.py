"""An identity provider and issuers with its keys, for the tests of hostile tokens."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testing.doubles.issuer import IssuerDouble, private_key, public_jwk
from testing.manual_clock import ManualClock
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import JwksSettings
from tokensvc.issuers.store import IssuerKeyStore

NOW = 1_800_000_000
IDP_CLOCK = ManualClock(NOW)


@pytest.fixture(scope="session")
def idp() -> Iterator[IssuerDouble]:
    """Yield a provider with a fixed clock that also publishes unusual keys."""
    with IssuerDouble(clock=IDP_CLOCK) as double:
        double.published += [
            public_jwk(private_key("ES256"), kid="ec", use="sig"),
            public_jwk(private_key("RS256", 7), kid="enc", use="enc"),
            public_jwk(private_key("RS256", bits=1024), kid="weak"),
        ]
        yield double


@pytest.fixture(scope="session")
def make_issuers(
    idp: IssuerDouble, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Issuers]]:
    """Yield a function that returns issuers with the provider's keys."""
    path = tmp_path_factory.mktemp("idp") / "tokensvc.db"
    database = Database.open(f"sqlite:///{path}", pool_size=2)
    schema.migrate(database)

    def make(**members: Any) -> Issuers:
        issuers = Issuers(
            [idp.settings(**members)],
            JwksSettings(),
            Alphabet.DOCUMENTED,
            IssuerKeyStore(database),
            IDP_CLOCK,
            key_files={},
            wait_slots=WaitSlots(2),
        )
        issuers.refresh()
        return issuers

    yield make
    database.close()


@pytest.fixture(scope="session")
def issuers(make_issuers: Callable[..., Issuers]) -> Issuers:
    """Return issuers that accept the provider's valid tokens."""
    return make_issuers(algorithms=["RS256", "ES256"])
