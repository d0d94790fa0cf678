"""The acts of rotation on either database, and a Stream that proves pairs."""

import time

import pytest

from testing.doubles.stream import StreamDouble
from tests.keys.ring import SECRET, rotation_of
from tokensvc.stream.api import check_key


@pytest.fixture
def rotation(database, clock):
    """Give the acts; on SQLite the clock is the test's."""
    return rotation_of(database, clock)


@pytest.fixture
def stream():
    with StreamDouble({"k1": SECRET}) as double:
        yield double


@pytest.fixture
def proving(database, clock, stream):
    """Give the acts as they are beside a Stream."""
    return rotation_of(
        database,
        clock,
        ask_stream=lambda api_key, secret: check_key(
            base_url=stream.url, api_key=api_key, secret=secret, clock=time.time
        ),
    )
