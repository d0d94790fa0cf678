"""The routes with which users of built-in accounts manage their sessions and their password."""

import pytest

from testing.world import running_world
from tests.sessions.passwords_over_http import ON, PASSWORD, AccountsWorld

NEW_PASSWORD = "staple battery horse correct"
CHANGE = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
ROUTES = [
    ("DELETE", "/v1/sessions/current", {}),
    ("GET", "/v1/me/sessions", {}),
    ("DELETE", "/v1/me/sessions/0123", {}),
    ("POST", "/v1/me/password", {"json": CHANGE}),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield one service. Each test uses its own users."""
    with running_world(tmp_path_factory.mktemp("service"), AccountsWorld, **ON) as world:
        yield world


@pytest.mark.parametrize(("method", "path", "options"), ROUTES)
def test_other_callers_are_refused(world, method, path, options):
    """Users of identity providers have neither sessions nor a password here."""
    for caller in (world.signed_in("paul"), world.operator):
        assert caller.request(method, path, **options).code == "insufficient_scope"
    assert world.anonymous.request(method, path, **options).code == "credentials_missing"
