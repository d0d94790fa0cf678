"""Rings and the actions on them, on both databases, and a Stream that verifies pairs."""

import time
from functools import partial

import pytest

from testing.doubles.stream import StreamDouble
from tests.stream.keys.ring import SECRET, VAULT, add, rotation_of
from tests.stream.keys.rings import SigningRing, StreamRing
from tokensvc.standing.store import app_floor
from tokensvc.stream.api import check_key
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.service import StreamKeys


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


class Checked:
    """A check of the active key with a clock that a test sets."""

    def __init__(self, database, stream):
        self.now = 100.0
        self.stream = stream
        self.keys = StreamKeys(database, VAULT)
        self.check = ActiveKeyCheck(
            self.keys,
            lambda key: check_key(stream.url, key, time.time),
            partial(app_floor, database),
            lambda: self.now,
        )

    def calls(self):
        return [call.query["api_key"] for call in self.stream.calls.to("GET", "/app")]


@pytest.fixture
def checked(database, stream):
    add(database, "k1", "active")
    return Checked(database, stream)
