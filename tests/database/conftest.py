"""A server that tests stop."""

import pytest

from testing.postgres import PostgresServer


@pytest.fixture(scope="module")
def server():
    """Yield a separate server, which tests stop and freeze."""
    server = PostgresServer()
    yield server
    server.remove()
