"""Rings and the actions on them, on both databases, and a Stream that verifies pairs."""

import time

import pytest

from testing.doubles.stream import StreamDouble
from tests.stream.keys.ring import SECRET, rotation_of
from tests.stream.keys.rings import SigningRing, StreamRing
from tokensvc.stream.api import check_key


@pytest.fixture(params=[StreamRing, SigningRing], ids=["stream", "signing"])
def ring(request, database, clock):
    """Run a test once for each kind of ring."""
    return request.param(database, clock)


@pytest.fixture
def rotation(database, clock):
    return rotation_of(database, clock)


@pytest.fixture
def stream():
    with StreamDouble({"k1": SECRET}) as double:
        yield double


@pytest.fixture
def verifying_rotation(database, clock, stream):
    """Return the actions with a Stream to ask."""
    return rotation_of(
        database,
        clock,
        check=lambda key: check_key(stream.url, key, time.time),
    )
