"""Attempts to sign in on either database."""

import pytest

from tests.sign_in.attempts import Attempts


@pytest.fixture
def world(database):
    """Return attempts to sign in, of the account `ada`."""
    world = Attempts(database)
    world.create()
    return world
