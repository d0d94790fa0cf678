"""Redis for the limits."""

from collections.abc import Iterator

import pytest
import redis

from tokensvc.limits import redis as redis_module


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis although the machine is busy."""
    monkeypatch.setattr(redis_module, "TIMEOUT", 10)


@pytest.fixture
def server(redis_url: str, patient: None) -> Iterator[redis.Redis]:
    """Yield an empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.flushall()
