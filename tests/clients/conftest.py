"""The service clients on either database, with a clock that a test sets."""

import pytest

from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients


@pytest.fixture
def clients(database, clock):
    """Give who authenticates."""
    return Clients(database, clock)


@pytest.fixture
def administration(database, clock):
    """Give the acts on clients."""
    return ClientAdministration(database, clock)
